"""Who takes part in the benchmarks of the bus."""

from __future__ import annotations

from tests.benchmarks.processes import Contender

OURS = Contender("ours", "bus.ours")
RAW = Contender("redis-py, bytes only", "peers.redis_py", "raw")
TYPED = Contender("redis-py, typed", "peers.redis_py", "typed")
FASTSTREAM = Contender("FastStream, default", "peers.faststream_peer", "default", "faststream", share=0.1)
FASTSTREAM_WORKERS = Contender("FastStream, ten workers", "peers.faststream_peer", "workers", "faststream", share=0.1)
FASTSTREAM_BATCH = Contender("FastStream, handler of lists", "peers.faststream_peer", "batch", "faststream", share=0.5)
TASKIQ = Contender("taskiq", "peers.taskiq_peer", "", "taskiq", share=0.1)
ARQ = Contender("arq, tuned", "peers.arq_peer", "", "arq", share=0.05)
DRAMATIQ = Contender("dramatiq, tuned", "peers.dramatiq_peer", "", "dramatiq", share=0.1)
CELERY = Contender("celery, tuned", "peers.celery_peer", "", "celery", share=0.04)

LOCAL = (OURS, RAW, TYPED)
PEERS = (FASTSTREAM, FASTSTREAM_WORKERS, FASTSTREAM_BATCH, TASKIQ, ARQ, DRAMATIQ, CELERY)
