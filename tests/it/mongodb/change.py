"""What a LibreChat on the same database does meanwhile, in the way in which it does it.

    python change.py URI DATABASE rename CONVERSATION TITLE
    python change.py URI DATABASE say CONVERSATION TEXT ANSWER     somebody goes on on the web; prints the ids of both
    python change.py URI DATABASE retry CONVERSATION ANSWER        has the last question answered once more
    python change.py URI DATABASE forget CONVERSATION MESSAGE      deletes a message
    python change.py URI DATABASE delete CONVERSATION
    python change.py URI DATABASE list CONVERSATION                what the conversation lists, and what there is
"""

import datetime
import json
import sys
import uuid

import pymongo


def next_moment(database, conversation):
    """The tests' clock stands still: a moment behind everything that is there."""
    return newest(database, conversation)["createdAt"] + datetime.timedelta(seconds=1)


def save_message(database, conversation, **message):
    """As LibreChat saves one: made where it is missing, else changed field by field."""
    now = next_moment(database, conversation)
    fields = {
        "conversationId": conversation["conversationId"], "user": conversation["user"], "endpoint": "anthropic", "model": "claude-web",
        "unfinished": False, "error": False, "isTemporary": False, "expiredAt": None, "updatedAt": now, **message,
    }
    database.messages.update_one(
        {"messageId": message["messageId"], "user": conversation["user"]},
        {"$set": fields, "$setOnInsert": {"createdAt": now, "_meiliIndex": False, "__v": 0}},
        upsert=True,
    )


def save_conversation(database, conversation):
    """Lists all rows that are there, as LibreChat does at the end of a turn."""
    identifier = conversation["conversationId"]
    rows = [row["_id"] for row in database.messages.find({"conversationId": identifier}, {"_id": 1})]
    changed = {"messages": rows, "endpoint": "anthropic", "updatedAt": next_moment(database, conversation)}
    database.conversations.update_one({"conversationId": identifier, "user": conversation["user"]}, {"$set": changed})


def newest(database, conversation):
    """The leaf that LibreChat's page shows: the row that was made last."""
    rows = database.messages.find({"conversationId": conversation["conversationId"]}).sort([("createdAt", -1), ("_id", -1)])
    return rows[0]


def answer(database, conversation, question, text):
    identifier = str(uuid.uuid4())
    content = [{"type": "think", "think": "hm"}, {"type": "text", "text": text}]
    save_message(
        database, conversation, messageId=identifier, parentMessageId=question, sender="Claude", isCreatedByUser=False, text="",
        content=content, attachments=[{"file_id": "f", "filepath": "/images/x.png", "toolCallId": "t"}], tokenCount=3.0,
    )
    save_conversation(database, conversation)
    return identifier


def main():
    database = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
    action, identifier, *rest = sys.argv[3:]
    conversation = database.conversations.find_one({"conversationId": identifier})
    printed = {}
    if action == "rename":
        renamed = database.conversations.update_one({"conversationId": identifier}, {"$set": {"title": rest[0]}})
        assert renamed.matched_count == 1
    elif action == "say":
        question = str(uuid.uuid4())
        parent = newest(database, conversation)["messageId"]
        save_message(
            database, conversation, messageId=question, parentMessageId=parent, sender="User", isCreatedByUser=True, text=rest[0], tokenCount=2
        )
        printed = {"question": question, "answer": answer(database, conversation, question, rest[1])}
    elif action == "retry":
        question = newest(database, conversation)["parentMessageId"]
        printed = {"question": question, "answer": answer(database, conversation, question, rest[0])}
    elif action == "forget":
        assert database.messages.delete_one({"conversationId": identifier, "messageId": rest[0]}).deleted_count == 1
    elif action == "delete":
        assert database.conversations.delete_many({"conversationId": identifier}).deleted_count == 1
        database.messages.delete_many({"conversationId": identifier})
    elif action == "list":
        rows = database.messages.find({"conversationId": identifier}, {"_id": 1})
        printed = {"listed": [str(row) for row in conversation["messages"]], "there": [str(row["_id"]) for row in rows]}
    else:
        raise SystemExit(f"no {action}")
    json.dump(printed, sys.stdout)


main()
