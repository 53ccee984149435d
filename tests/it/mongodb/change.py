"""What a LibreChat on the same database does meanwhile.

    python change.py URI DATABASE rename CONVERSATION TITLE
"""

import sys

import pymongo


def main():
    database = pymongo.MongoClient(sys.argv[1])[sys.argv[2]]
    action, conversation, title = sys.argv[3:]
    assert action == "rename"
    renamed = database.conversations.update_one({"conversationId": conversation}, {"$set": {"title": title}})
    assert renamed.matched_count == 1
    print("{}")


main()
