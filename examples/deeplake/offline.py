"""deeplake 3.9 without a network: its vector store otherwise asks a web service again and again, for ever.

Import this before anything of deeplake. Elsewhere than on a machine without a network it is not needed.
"""

import os
import warnings

# No report of use leaves the machine.
os.environ.setdefault("BUGGER_OFF", "true")
# deeplake looks for its newest version, and has another API from 4 on; LangChain's store is for this one.
warnings.filterwarnings("ignore", message="A newer version of deeplake")
warnings.filterwarnings("ignore", message="(?s).*DeeplakeVectorStore")

import deeplake.core.vectorstore.deep_memory.deep_memory as deep_memory  # noqa: E402

deep_memory.DeepMemory._get_dm_client = lambda self: None
