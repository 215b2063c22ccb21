"""Deep Lake's tutorial on ZooKeeper locks, with zooky.Client in the place of KazooClient and its mistakes put right.

What was wrong in it is in README.md. The servers are those of ZOOKY_SERVERS, or 127.0.0.1:2181.
"""

import os

from stores import Letters, VectorStore, embedding

from zooky import Client

PATH = "./tutorial_store"

zk = Client(hosts=os.environ.get("ZOOKY_SERVERS", "127.0.0.1:2181"))
zk.start()
deeplake_writelock = zk.WriteLock("/deeplake")
deeplake_readlock = zk.ReadLock("/deeplake")

with deeplake_writelock:
    vector_store = VectorStore(PATH, lock_enabled=False)
    vector_store.add(
        text=["Deep Lake"],
        metadata=[{"page": 1}],
        embedding_function=embedding,
        embedding_data=["Deep Lake"],
    )

with deeplake_readlock:
    vector_store = VectorStore(PATH, read_only=True, lock_enabled=False)
    search_results = vector_store.search(embedding_data="deep", embedding_function=embedding)

with deeplake_readlock:
    # The same store by LangChain's class, as a retriever.
    from langchain_community.vectorstores import DeepLake

    db = DeepLake(PATH, embedding=Letters(), read_only=True, lock_enabled=False)
    documents = db.as_retriever().invoke("deep")

zk.stop()

assert [document.page_content for document in documents] == list(search_results["text"])
print(len(documents), "found:", sorted(set(search_results["text"])))
