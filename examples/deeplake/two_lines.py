"""The two lines that Deep Lake's users need: a write lock and a read lock on a dataset, by its path.

The servers are those of ZOOKY_SERVERS, or 127.0.0.1:2181.
"""

from stores import VectorStore, embedding

from zooky.deeplake import read_lock, write_lock

PATH = "./my_vector_store"

with write_lock(PATH):
    vectors = VectorStore(PATH, lock_enabled=False)
    vectors.add(text=["Deep Lake"], metadata=[{"page": 1}], embedding_function=embedding, embedding_data=["Deep Lake"])

with read_lock(PATH):
    vectors = VectorStore(PATH, read_only=True, lock_enabled=False)
    found = vectors.search(embedding_data="deep", embedding_function=embedding, k=4)
    print(len(found["text"]), "found:", sorted(set(found["text"])))
