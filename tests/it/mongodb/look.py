"""What another program sees of the one person in a database, as JSON: types by their names, ids with their values.

    python look.py URI DATABASE
"""

import datetime
import json
import sys

import bson
import pymongo

# What only we need of a document is not what LibreChat looks at.
OURS = {"unitVersion", "turnId", "slot", "entry", "recalled", "receivedAt", "sequence", "choice", "closed", "lastSequence", "lastMessageId"}
OURS |= {"lastSlot", "lastEntry", "ownCredits"}


def shown(value, ids=False):
    if isinstance(value, dict):
        return {name: shown(inner, ids or name == "user") for name, inner in value.items() if name not in OURS}
    if isinstance(value, list):
        return [shown(inner, ids) for inner in value]
    if isinstance(value, bson.ObjectId):
        return {"ObjectId": str(value)} if ids else "ObjectId"
    if isinstance(value, datetime.datetime):
        return "datetime"
    return value


def main():
    database = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
    balance = database.balances.find_one({}, {"_id": 0})
    seen = {
        "user": shown(database.users.find_one({}), ids=True),
        "balance": shown(balance, ids=True) if balance else None,
        "conversation": shown(database.conversations.find_one({})),
        "messages": [shown(message) for message in database.messages.find({}).sort("createdAt", 1)],
        "originals": [database[name].count_documents({"userId": {"$exists": True}}) for name in ("mcp_memory", "mcp_todoodles")],
        "external": [database[name].count_documents({"endpoint": "external"}) for name in ("conversations", "messages")],
    }
    json.dump(seen, sys.stdout)


main()
