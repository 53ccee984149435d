"""Signs forms with Twilio's own library, sends them to a running program, then again with one byte changed.

usage: twilio_library.py HOST:PORT PUBLIC_URL AUTH_TOKEN ACCOUNT_SID OUR_NUMBER FROM
Prints {"taken": n, "refused": n, "texts": [...], "wrong": [...]}; `wrong` lists each answer that was not the expected one.
"""

import http.client
import json
import sys
import urllib.parse

from twilio.request_validator import RequestValidator

ADDRESS, PUBLIC_URL, TOKEN, ACCOUNT, OUR_NUMBER, FROM = sys.argv[1:]
PATH = "/webhooks/twilio"


class Form:
    """A form with repeated keys, as web frameworks hand it to the library."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        return iter([key for key, _ in self.pairs])

    def __len__(self):
        return len(self.pairs)

    def getlist(self, name):
        return [value for key, value in self.pairs if key == name]


def form(number, text, *more):
    return [
        ("MessageSid", f"SM{number:032x}"),
        ("AccountSid", ACCOUNT),
        ("From", FROM),
        ("To", OUR_NUMBER),
        ("Body", text),
        ("NumMedia", "0"),
        *more,
    ]


# Blanks at the ends of a value are signed; whether the text is trimmed for the model is not this test's matter, so the texts
# themselves have none there.
FORMS = [
    form(1, "hello"),
    form(2, "blanks  inside and + & = % signs; a 'quote'", ("Extra", " leading and trailing "), ("Empty", "")),
    form(3, "Grüße, 東京 \U0001f44b\U0001f3fd и привет"),
    form(4, "repeated keys", ("Tag", "b"), ("Tag", "a"), ("Tag", "b"), ("tag", "lower case is another key")),
    form(5, "line one\nline two\ttab"),
    form(6, "keys that begin alike", ("Media", "1"), ("MediaUrl", "2"), ("Media0", "3"), ("ключ", "значение")),
    form(7, "0"),
]


def post(connection, path, body, signature):
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def changed(body, place):
    """The body with another byte at that place."""
    other = b"b" if body[place : place + 1] == b"a" else b"a"
    return body[:place] + other + body[place + 1 :]


def still_valid(validator, body, signature):
    """Whether the library believes that body."""
    pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    try:
        return validator.validate(PUBLIC_URL + PATH, Form(pairs), signature)
    except UnicodeEncodeError:
        return False


def main():
    validator = RequestValidator(TOKEN)
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    taken, refused, wrong = 0, 0, []

    def refuse(what, path, body, signature):
        nonlocal refused
        status = post(connection, path, body, signature)
        refused += status == 403
        if status != 403:
            wrong.append(f"{what}: {status}")

    for number, pairs in enumerate(FORMS, 1):
        body = urllib.parse.urlencode(pairs).encode()
        signature = validator.compute_signature(PUBLIC_URL + PATH, Form(pairs))
        assert validator.validate(PUBLIC_URL + PATH, Form(pairs), signature)
        status = post(connection, PATH, body, signature)
        taken += status == 200
        if status != 200:
            wrong.append(f"form {number}: {status}")

        for place in range(len(body)):
            other = changed(body, place)
            # Some changes leave the signed text as it was (one of two equal values becomes equal to a third): the library knows.
            if other != body and not still_valid(validator, other, signature):
                refuse(f"form {number}, byte {place} changed", PATH, other, signature)
        for place in range(len(signature)):
            # The last character before the padding carries bits that base64 drops.
            if place < len(signature) - 2:
                refuse(f"form {number}, byte {place} of the signature changed", PATH, body, changed(signature.encode(), place).decode())
        refuse(f"form {number}, query added", PATH + "?a=b", body, signature)
        refuse(f"form {number}, no signature", PATH, body, None)
        refuse(f"form {number}, empty signature", PATH, body, "")
        other = RequestValidator(TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1")).compute_signature(PUBLIC_URL + PATH, Form(pairs))
        refuse(f"form {number}, signed with another token", PATH, body, other)

    texts = [dict(pairs)["Body"] for pairs in FORMS]
    print(json.dumps({"taken": taken, "refused": refused, "texts": texts, "wrong": wrong}))


main()
