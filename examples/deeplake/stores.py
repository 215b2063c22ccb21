"""Deep Lake 3.9 by its three interfaces: the vector store, the dataset below it, and LangChain's store above it.

Each opens a store, adds a row and looks for one; the locking is left to whoever calls. A row says twice what it is, in
two tensors, so that one put together from two writes is noticed.
"""

import offline  # noqa: F401  Before deeplake.
import deeplake
import numpy as np
from deeplake.core.vectorstore import VectorStore

# Deep Lake's own locks, all of them. `lock_enabled=False` alone is not enough: the views that a filter or an index makes
# of a dataset do not inherit it. Such a view takes the lock for its process, which keeps it, and when the next
# process's view does not get it that process's dataset becomes read-only in the middle of a delete.
deeplake.constants.LOCKS_ENABLED = False


def embedding(texts):
    """A model would be used here; the first letters will do."""
    texts = [texts] if isinstance(texts, str) else texts
    return [np.frombuffer(text.encode().ljust(8)[:8], dtype=np.uint8).astype(np.float32) for text in texts]


class Torn(Exception):
    """A row whose tensors belong to different writes, or are not equally many."""


class Vectors:
    def open(self, path, read_only=False):
        return VectorStore(path, read_only=read_only, lock_enabled=False, verbose=False)

    def add(self, store, text):
        # Without embedding_data it is refused, whatever the tutorials say.
        store.add(text=[text], metadata=[{"text": text}], embedding_function=embedding, embedding_data=[text])

    def replace(self, store, text):
        store.delete(filter={"metadata": {"text": text}})
        self.add(store, text)

    def search(self, store, text):
        found = store.search(embedding_data=text, embedding_function=embedding, k=4)
        return found["text"], [metadata["text"] for metadata in found["metadata"]]

    def columns(self, store):
        """The two tensors, one after the other."""
        yield [text.item() for text in store.dataset.text.numpy()]
        yield [metadata.item()["text"] for metadata in store.dataset.metadata.numpy()]


class Datasets:
    """Without the vector store: two tensors, appended to."""

    def open(self, path, read_only=False):
        if not deeplake.exists(path):
            dataset = deeplake.empty(path, lock_enabled=False)
            dataset.create_tensor("text", htype="text")
            dataset.create_tensor("again", htype="text")
            return dataset
        return deeplake.load(path, read_only=read_only, lock_enabled=False, verbose=False)

    def add(self, dataset, text):
        with dataset:
            dataset.append({"text": text, "again": text})

    def replace(self, dataset, text):
        with dataset:
            dataset.pop(next(self.columns(dataset)).index(text))
            dataset.append({"text": text, "again": text})

    def columns(self, dataset):
        for tensor in (dataset.text, dataset.again):
            yield [text.item() for text in tensor.numpy()]

    def search(self, dataset, text):
        return self.columns(dataset)


class LangChain(Vectors):
    """langchain-community's DeepLake; what it does not take itself it hands to the vector store."""

    def open(self, path, read_only=False):
        from langchain_community.vectorstores import DeepLake

        return DeepLake(path, embedding=Letters(), read_only=read_only, lock_enabled=False, verbose=False)

    def add(self, store, text):
        store.add_texts(texts=[text], metadatas=[{"text": text}])

    def replace(self, store, text):
        store.delete(filter={"metadata": {"text": text}})
        self.add(store, text)

    def search(self, store, text):
        found = store.similarity_search(text, k=4)
        return [one.page_content for one in found], [one.metadata["text"] for one in found]

    def columns(self, store):
        return super().columns(store.vectorstore)


class Letters:
    """What LangChain calls an embedding."""

    def embed_documents(self, texts):
        return [vector.tolist() for vector in embedding(texts)]

    def embed_query(self, text):
        return embedding(text)[0].tolist()


KINDS = {"vectors": Vectors(), "dataset": Datasets(), "langchain": LangChain()}


def whole(columns):
    """The texts of rows whose two tensors agree."""
    texts, again = (list(column) for column in columns)
    if texts != again:
        raise Torn(f"{texts} and {again}")
    return texts
