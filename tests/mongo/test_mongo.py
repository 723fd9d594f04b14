"""The driver behind its rim, against the real mongod."""

import asyncio

from bridge.demo.mongod import Mongod
from bridge.mongo import Mongo

STEP = 20e-6
"""Seconds by which each cancellation comes later than the one before it."""
STEPS = 300
"""Until the command has its answer."""


async def test_a_cancellation_is_heeded_whenever_it_comes(mongod: Mongod) -> None:
    lost = []
    for step in range(STEPS):
        mongo = Mongo(mongod.uri)
        await mongo.now()
        commands = [asyncio.create_task(mongo.now()) for _ in range(2)]  # one has to connect
        await asyncio.sleep(step * STEP)
        waiting = [command for command in commands if command.cancel()]
        await asyncio.wait(commands)
        lost += [step for command in waiting if not command.cancelled()]
        await mongo.close()
    assert lost == []
