"""Fills a database as LibreChat's fork for texts, and the plan's own memory and todo servers, left it. Prints the ids as JSON.

    python fill.py URI DATABASE
"""

import datetime
import json
import sys
import uuid

import bson
import pymongo

NOW = datetime.datetime(2026, 11, 20, 9, 0, tzinfo=datetime.timezone.utc)


def later(minutes):
    return NOW + datetime.timedelta(minutes=minutes)


def account(number, minutes, **more):
    return {
        "_id": bson.ObjectId(),
        "email": f"{number}@sms.librechat.ai",
        "name": f"SMS User {number}",
        "username": f"sms_{number[1:]}_{minutes}",
        "provider": "sms",
        "role": "USER",
        "emailVerified": True,
        "createdAt": later(minutes),
        "updatedAt": later(minutes),
        "__v": 0,
        **more,
    }


def message(conversation, user, minutes, text, parent, from_person=True, **more):
    return {
        "messageId": str(uuid.uuid4()),
        "conversationId": conversation,
        "user": user,
        "parentMessageId": parent,
        "sender": "User" if from_person else "GPT-4o",
        "text": text,
        "isCreatedByUser": from_person,
        "endpoint": "external",
        "createdAt": later(minutes),
        "updatedAt": later(minutes),
        **more,
    }


def main():
    database = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
    ann = account("+15550000001", 0, phoneNumber="+15550000001", metadata={"source": "sms", "preferences": {"endpoint": "openai"}})
    # Before the fork had a field of its own, written as a person writes it.
    bob = account("+15550000002", 1, metadata={"phoneNumber": "+1 (555) 000-0002", "source": "sms"})
    again = account("+15550000001", 2, phoneNumber="+15550000001")
    strange = account("+15550000009", 3, phoneNumber="ask me")
    web = account("+15550000000", 4)
    web.update(email="carol@example.org", username="carol", name="Carol", provider="local")
    database.users.insert_many([ann, bob, again, strange, web])

    thread, other, web_thread = (str(uuid.uuid4()) for _ in range(3))
    ann_id, root = str(ann["_id"]), "00000000-0000-0000-0000-000000000000"
    first = message(thread, ann_id, 10, "my cat is called Tiger", root)
    second = message(thread, ann_id, 11, "", first["messageId"], from_person=False, content=[{"type": "text", "text": "A fine name."}])
    # Ids were not always text, and one message came from another branch of LibreChat.
    third = message(thread, ann["_id"], 12, "feed it at noon", second["messageId"], createdAt="2026-11-20T09:12:00.000Z")
    foreign = message(thread, ann_id, 13, "not ours", third["messageId"], messageId="not-a-uuid")
    database.messages.insert_many([first, second, third, foreign])
    metadata = {"phoneNumber": "+15550000001", "source": "sms", "lastMessage": later(12)}
    database.conversations.insert_many(
        [
            {"conversationId": thread, "user": ann_id, "title": "SMS Chat +15550000001", "endpoint": "external", "metadata": metadata,
             "messages": [bson.ObjectId()], "createdAt": later(10), "updatedAt": later(12)},
            {"conversationId": other, "user": ann["_id"], "title": "SMS Chat +15550000001", "endpoint": "openAI", "messages": [],
             "createdAt": later(5), "updatedAt": later(5)},
            {"conversationId": web_thread, "user": str(web["_id"]), "title": "On the web", "endpoint": "openAI", "messages": [],
             "createdAt": later(5), "updatedAt": later(5)},
        ]
    )
    # What the second account of a number has.
    second_thread = str(uuid.uuid4())
    database.messages.insert_one(message(second_thread, str(again["_id"]), 14, "do you know me?", root))
    database.conversations.insert_one(
        {"conversationId": second_thread, "user": str(again["_id"]), "title": "SMS Chat +15550000001", "endpoint": "openAI",
         "metadata": {"phoneNumber": "+15550000001", "source": "sms"}, "messages": [], "createdAt": later(14), "updatedAt": later(14)}
    )
    database.balances.insert_many(
        [
            {"user": ann["_id"], "tokenCredits": 1234.0, "lastRefill": later(0)},
            {"user": again["_id"], "tokenCredits": 66.0, "lastRefill": later(0)},
        ]
    )

    graph = {
        "entities": [
            {"name": "Tiger", "entityType": "cat", "observations": ["is orange", "is fed at noon"]},
            {"name": "Ann", "entityType": "person", "observations": []},
        ],
        "relations": [{"from": "Ann", "to": "Tiger", "relationType": "owns"}],
    }
    times = {"createdAt": NOW, "updatedAt": later(1)}
    database.mcp_memory.insert_many(
        [
            {"userId": ann_id, "data": graph, **times},
            {"userId": str(web["_id"]), "data": {"entities": [{"name": "Carol", "entityType": "person"}]}, **times},
            {"userId": "default", "data": {"entities": [{"name": "Host", "entityType": "person", "observations": ["runs this"]}]}, **times},
            {"userId": "somebody", "data": graph, **times},
            {"userId": str(bob["_id"]), "data": "torn", **times},
        ]
    )
    todos = {"todos": [{"id": 7, "text": "buy cat food", "completed": False, "createdAt": later(3)}, {"id": 8, "text": "brush", "completed": True}]}
    database.mcp_todoodles.insert_one({"userId": ann_id, "data": todos, **times})
    ids = {"ann": ann_id, "bob": str(bob["_id"]), "again": str(again["_id"]), "web": str(web["_id"]), "thread": thread, "other": other, "second": second_thread}
    json.dump(ids, sys.stdout)


main()
