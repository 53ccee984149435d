"""Spends and refills as LibreChat does: reads the balance, then changes it where it is still that, and never to less than nothing.

    python spend.py URI DATABASE USER CREDITS [TIMES]

CREDITS below nothing are spent, others are a refill.
"""

import sys

import bson
import pymongo


def update_balance(balances, user, credits):
    while True:
        found = balances.find_one({"user": user})
        if found is None:
            balances.update_one({"user": user}, {"$set": {"tokenCredits": max(0, credits)}}, upsert=True)
            return
        now = found["tokenCredits"]
        changed = balances.update_one({"user": user, "tokenCredits": now}, {"$set": {"tokenCredits": max(0, now + credits)}})
        if changed.matched_count == 1:
            return


def main():
    balances = pymongo.MongoClient(sys.argv[1])[sys.argv[2]].balances
    user, credits = bson.ObjectId(sys.argv[3]), float(sys.argv[4])
    for _ in range(int(sys.argv[5]) if len(sys.argv) > 5 else 1):
        # LibreChat counts in parts of credits, and what is whole has no point there.
        update_balance(balances, user, int(credits) if credits == int(credits) else credits)
    print("{}")


main()
