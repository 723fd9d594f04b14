"""What is on the demo's boards at first, and where it is kept."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

DATABASE = "demo"
TASKS = "tasks"
OUTBOX = "outbox"
COLUMNS = ("todo", "doing", "done")

BOARDS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "launch": (
        ("todo", "Record the demo", "video", "Ninety seconds, no narration, captions in English"),
        ("todo", "Write the price page", "text", "Three plans, one table, no asterisks"),
        ("todo", "Print the stickers", "print", "Round, five centimetres, two hundred of them"),
        ("doing", "Draft the press note", "text", "One page with a quote and two pictures"),
        ("doing", "Check the contrast", "design", "Every text on every ground, light and dark"),
        ("done", "Pick a date", "plan", "A Tuesday, and nobody is on holiday that week"),
        ("done", "Name the thing", "plan", "Short, and it can be spelled on the telephone"),
    ),
    "garden": (
        ("todo", "Order the seeds", "shop", "Peas, chard, two kinds of beans and marigolds"),
        ("todo", "Mend the gate", "wood", "The lower hinge; there are screws in the shed"),
        ("todo", "Agree who waters", "plan", "Two people for every week from May to August"),
        ("doing", "Build the third bed", "wood", "Larch boards, two metres by one, no paint"),
        ("done", "Empty the compost", "soil", "Both bins; the fine part goes onto the beds"),
        ("done", "Copy the shed key", "shop", "One for each row, and one for the neighbours"),
    ),
    "trip": (
        ("todo", "Book the train", "way", "The early one, seats together, bicycles too"),
        ("todo", "Plan the Friday meal", "food", "For eleven people, of whom four eat no meat"),
        ("doing", "Find a cabin", "way", "By the lake, with a stove and enough blankets"),
        ("doing", "Collect the maps", "way", "On paper, since there is no signal up there"),
        ("done", "Choose the weekend", "plan", "The second of the month suits nearly everybody"),
    ),
}
"""The tasks of each board: column, title, tag and note."""


async def lay_out(client: AsyncMongoClient[dict[str, Any]]) -> None:
    """Makes the collections anew, the tasks with pre- and post-images, and fills the boards."""
    await client.drop_database(DATABASE)
    database = client[DATABASE]
    tasks = await database.create_collection(TASKS, changeStreamPreAndPostImages={"enabled": True})
    outbox = await database.create_collection(OUTBOX)
    await tasks.create_index("board")
    await outbox.create_index([("channel", 1), ("_id", -1)])
    await tasks.insert_many([task for board in BOARDS for task in tasks_of(board)])


def tasks_of(board: str) -> list[dict[str, Any]]:
    """A board's tasks as new documents."""
    return [
        {
            "_id": ObjectId(),
            "board": board,
            "column": column,
            "rank": rank,
            "title": title,
            "tag": tag,
            "note": note,
            "by": "",
            "version": 1,
        }
        for rank, (column, title, tag, note) in enumerate(BOARDS[board], start=1)
    ]
