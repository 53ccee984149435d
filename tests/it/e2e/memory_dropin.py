"""Drives the MCP project's memory server and ours with the same calls and compares answers and graphs.

Arguments: the upstream server's command as JSON, its memory file, our command as JSON, both servers' environment as JSON. The report, one JSON object, goes to
standard output; what disagrees stands in it under "wrong".

Two kinds of sequences, each from fixed seeds, one call in flight:

  plain  no call in it touches one of the rules below: every answer, and the graph at the end, has to be the same.
  any    calls touch them as they like. A model of the upstream server has to foretell each of its answers, and the same model
         with the rules switched on each of ours: so the rules are all that differs.

RULES are the differences that our rules for memory tools ask for. EXTRAS are fields that only ours has, beside the upstream
ones. Whatever differs otherwise is wrong.
"""

import json
import random
import signal
import subprocess
import sys
import unicodedata

PLAIN_SEEDS, PLAIN_CALLS = range(1, 6), 400
ANY_SEEDS, ANY_CALLS = range(101, 106), 400

RULES = {
    "merge": "an entity that exists is merged (observations united in order, type updated) where upstream ignores the new one",
    "no doubles": "what stands twice in one call, or in one list of observations, is stored once; upstream stores doubles",
    "no dangling": "a relation whose end does not exist is refused; upstream stores it",
    "composed": "names and texts are compared and stored in composed form (NFC); upstream compares code points",
    "union of words": "a search of several words also finds entities that hold each word somewhere; upstream wants the text itself",
    "no accents": "a search forgets accents; upstream does not",
    "ranked": "search hits come best first; upstream gives them in stored order",
    "not found": "deleting tells what was not there instead of claiming success; where all was there it says what upstream says",
    "error texts": "what a refused call says is ours; that it is refused is the same",
    "compact text": "the text beside the structured result is the whole of it as compact JSON; upstream's is pretty-printed, and only a part",
}

# Fields that ours adds, by place: in the answer; in an entity that was written into one that existed; in a relation of which
# only one end was found. They are foretold like everything else, but for the wording of reasons and the names that come close.
EXTRAS = {
    "answer": {"deleted", "notFound", "refused", "missing"},
    "entity": {"merged"},
    "relation": {"neighbour"},
}


class Server:
    """One MCP server over standard input and output."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        self.number = 0
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "dropin", "version": "1"}}
        self.ask("initialize", hello)
        self.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def tell(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method, params):
        self.number += 1
        self.tell({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"{self.process.args[0]} ended in the middle of {method}")
            answer = json.loads(line)
            if answer.get("id") == self.number:
                return answer

    def call(self, tool, arguments):
        """(structured result or None when it was refused, text)"""
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments})
        if "error" in answer:
            return None, answer["error"]["message"]
        result = answer["result"]
        text = "".join(part.get("text", "") for part in result["content"])
        return (None if result.get("isError") else result["structuredContent"]), text

    def end(self):
        self.process.stdin.close()
        if self.process.wait(20) != 0:
            raise SystemExit(f"{self.process.args[0]} ended with {self.process.returncode}")


def composed(text):
    return unicodedata.normalize("NFC", text)


def plain_letters(text):
    """As our search compares: without case and accents."""
    return "".join(c for c in unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).lower()) if not unicodedata.combining(c))


class Model:
    """The upstream server as it is written, and with `ours` the same with our rules."""

    def __init__(self, ours):
        self.ours, self.entities, self.relations = ours, [], []

    def named(self, name):
        return next((entity for entity in self.entities if entity["name"] == name), None)

    def form(self, text):
        return composed(text) if self.ours else text

    def create_entities(self, entities):
        if not self.ours:
            new = [e for e in entities if self.named(e["name"]) is None]
            self.entities += [{**e, "observations": list(e["observations"])} for e in new]
            return {"entities": new}
        written = {}
        for e in entities:
            name, entity = composed(e["name"]), self.named(composed(e["name"]))
            created = entity is None
            if created:
                entity = {"name": name, "entityType": "", "observations": []}
                self.entities.append(entity)
            changed = bool(e["entityType"]) and entity["entityType"] != composed(e["entityType"])
            if changed:
                entity["entityType"] = composed(e["entityType"])
            added = self.add(entity, e["observations"])
            if created or changed or added:
                entry = written.setdefault(name, {"name": name, "entityType": "", "observations": [], **({} if created else {"merged": True})})
                entry["entityType"] = entity["entityType"]
                entry["observations"] += added
        return {"entities": list(written.values())}

    def add(self, entity, texts):
        added = []
        for text in map(self.form, texts):
            known = entity["observations"] + (added if self.ours else [])
            if text not in known:
                added.append(text)
        entity["observations"] += added
        return added

    def create_relations(self, relations):
        created, refused = [], []
        before = list(self.relations)
        for r in relations:
            key = tuple(self.form(r[field]) for field in ("from", "to", "relationType"))
            if self.ours:
                if self.named(key[0]) is None or self.named(key[1]) is None:
                    refused.append(shape(key))
                    continue
                if key in self.relations:
                    continue
            elif key in before:
                continue
            self.relations.append(key)
            created.append(key)
        return {"relations": [shape(key) for key in created], **only("refused", refused)}

    def add_observations(self, observations):
        if any(self.named(self.form(o["entityName"])) is None for o in observations):
            return None
        return {"results": [
            {"entityName": self.form(o["entityName"]), "addedObservations": self.add(self.named(self.form(o["entityName"])), o["contents"])}
            for o in observations]}

    def delete_entities(self, entityNames):
        names = list(dict.fromkeys(self.form(name) for name in entityNames))
        missing = [name for name in names if self.named(name) is None]
        self.entities = [e for e in self.entities if e["name"] not in names]
        self.relations = [r for r in self.relations if r[0] not in names and r[1] not in names]
        return self.deleted("Entities", len(names) - len(missing), missing, len(missing))

    def delete_observations(self, deletions):
        gone, missing, count = 0, [], 0
        for d in deletions:
            name, entity = self.form(d["entityName"]), self.named(self.form(d["entityName"]))
            for text in map(self.form, d["observations"]):
                if entity is not None and text in entity["observations"]:
                    entity["observations"] = [known for known in entity["observations"] if known != text]
                    gone += 1
                    continue
                count += 1
                if missing and missing[-1]["entityName"] == name:
                    missing[-1]["observations"].append(text)
                else:
                    missing.append({"entityName": name, "observations": [text]})
        return self.deleted("Observations", gone, missing, count)

    def delete_relations(self, relations):
        gone, missing = 0, []
        for key in (tuple(self.form(r[field]) for field in ("from", "to", "relationType")) for r in relations):
            if key in self.relations:
                self.relations = [r for r in self.relations if r != key]
                gone += 1
            else:
                missing.append(shape(key))
        return self.deleted("Relations", gone, missing, len(missing))

    def deleted(self, what, gone, missing, count):
        all_well = {"success": True, "message": f"{what} deleted successfully"}
        if not self.ours:
            return all_well
        if count:
            nothing = f"Nothing was deleted: none of these {what.lower()} exist"
            all_well = {"success": gone > 0, "message": f"{gone} deleted; {count} not found" if gone else nothing}
        return {**all_well, "deleted": gone, **only("notFound", missing)}

    def around(self, entities):
        names = {e["name"] for e in entities}
        return {"entities": entities, "relations": [self.found(r, names) for r in self.relations if r[0] in names or r[1] in names]}

    def found(self, relation, names):
        outside = [end for end in relation[:2] if end not in names] if self.ours else []
        return {**shape(relation), **only("neighbour", outside[0] if outside else None)}

    def read_graph(self):
        return {"entities": self.entities, "relations": [shape(r) for r in self.relations]}

    def open_nodes(self, names):
        names = list(dict.fromkeys(map(self.form, names)))
        missing = [name for name in names if self.named(name) is None] if self.ours else []
        return {**self.around([e for e in self.entities if e["name"] in names]), **only("missing", [{"name": name} for name in missing])}

    def search_nodes(self, query):
        if not self.ours:
            wanted = query.lower()
            return self.around([e for e in self.entities if any(wanted in text.lower() for text in texts_of(e))])
        whole = plain_letters(query)
        parts = whole.split()
        def hit(entity):
            texts = [plain_letters(text) for text in texts_of(entity)]
            return any(whole in text for text in texts) or bool(parts) and all(any(part in text for text in texts) for part in parts)
        return self.around([e for e in self.entities if hit(e)])

    def answer(self, tool, arguments):
        # The answer is what it was then, whatever is done to the graph later.
        return json.loads(json.dumps(getattr(self, tool)(**arguments)))


def texts_of(entity):
    return [entity["name"], entity["entityType"], *entity["observations"]]


def shape(key):
    return dict(zip(("from", "to", "relationType"), key))


def only(name, value):
    """A field that is left out where there is nothing to say."""
    return {name: value} if value else {}


def comparable(tool, structured, extras):
    """An answer without the order of hits, and either with what only ours has ("kept") or without ("dropped"); what is not
    known stays and will differ."""
    if structured is None:
        return None
    answer = dict(structured)
    for name, inner in (("refused", "reason"), ("missing", "close")):
        if name in answer:
            answer[name] = [{k: v for k, v in item.items() if k != inner} for item in answer[name]]
    if extras == "dropped":
        for name in EXTRAS["answer"]:
            answer.pop(name, None)
        for kind, names in (("entities", EXTRAS["entity"]), ("relations", EXTRAS["relation"])):
            if isinstance(answer.get(kind), list):
                answer[kind] = [{k: v for k, v in item.items() if k not in names} for item in answer[kind]]
    if tool == "search_nodes":
        for kind in ("entities", "relations"):
            answer[kind] = sorted(answer[kind], key=lambda item: json.dumps(item, sort_keys=True))
    return answer


NAMES = [f"{kind} {number}" for kind in ("Ada", "Bob", "Acme", "Paris", "tea") for number in range(8)] + [
    "José", "Zoë", "日本", "O'Brien", "a\"b", "c\\d", "100%", "under_score", "тест", "🙂", " leading", "x" * 200, "NULL", "--", "a*"]
DECOMPOSED = [unicodedata.normalize("NFD", name) for name in ("José", "Zoë")]
TYPES = ["person", "place", "company", "thing", "Ort"]
WORDS = ["likes", "tea", "coffee", "lives in", "Paris", "works at", "née", "born", "1815", "Straße", "100%", "\"quoted\"", "line\nbreak", "日本語"]
KINDS = ["knows", "works at", "lives in", "likes", "is part of"]
QUERIES = ["ada", "ADA 1", "tea", "per", "ort", "1815", "%", "_", "\"", "lives in", "straße", "日本", "nothing at all", "e", "bob 3", "*", "né", "quoted\""]


class Caller:
    """Calls at random, with an eye on what the upstream graph holds."""

    def __init__(self, seed, plain):
        self.random, self.plain, self.graph = random.Random(seed), plain, Model(ours=False)

    def some(self, items, most=3):
        return self.random.sample(items, min(len(items), self.random.randint(1, most)))

    def name(self):
        known = [entity["name"] for entity in self.graph.entities]
        if known and self.random.random() < 0.7:
            return self.random.choice(known)
        return self.random.choice(NAMES if self.plain else NAMES + DECOMPOSED)

    def names(self, most=3):
        found = [self.name() for _ in range(self.random.randint(1, most))]
        return list(dict.fromkeys(found)) if self.plain else found

    def texts(self, most=4):
        found = [" ".join(self.some(WORDS)) for _ in range(self.random.randint(0, most))]
        return list(dict.fromkeys(found)) if self.plain else found

    def relation(self):
        known = [entity["name"] for entity in self.graph.entities]
        end = (lambda: self.random.choice(known)) if self.plain and known else self.name
        if self.graph.relations and self.random.random() < 0.3:
            return shape(self.random.choice(self.graph.relations))
        return {"from": end(), "to": end(), "relationType": self.random.choice(KINDS)}

    def next(self):
        known = self.graph.entities
        tool = self.random.choices(
            ["create_entities", "create_relations", "add_observations", "delete_entities", "delete_observations",
             "delete_relations", "read_graph", "search_nodes", "open_nodes"], [22, 18, 20, 4, 6, 4, 4, 12, 10])[0]
        if tool == "create_entities":
            names = self.names(4)
            if self.plain:
                names = [name for name in names if self.graph.named(name) is None]
            entities = [{"name": name, "entityType": self.random.choice(TYPES), "observations": self.texts()} for name in names]
            return tool, {"entities": entities}
        if tool == "create_relations":
            relations = [self.relation() for _ in range(self.random.randint(1, 3))]
            if self.plain:
                relations = list({json.dumps(r, sort_keys=True): r for r in relations}.values()) if known else []
            return tool, {"relations": relations}
        if tool == "add_observations":
            # A missing entity is refused by both.
            return tool, {"observations": [{"entityName": name, "contents": self.texts()} for name in self.names()]}
        if tool.startswith("delete_") and self.plain:
            # Only what is there; where there is nothing, the graph is read instead.
            if tool == "delete_entities" and known:
                return tool, {"entityNames": [entity["name"] for entity in self.some(known, 2)]}
            full = [entity for entity in known if entity["observations"]]
            if tool == "delete_observations" and full:
                return tool, {"deletions": [{"entityName": e["name"], "observations": self.some(e["observations"])} for e in self.some(full)]}
            if tool == "delete_relations" and self.graph.relations:
                return tool, {"relations": [shape(key) for key in self.some(self.graph.relations, 2)]}
            return "read_graph", {}
        if tool == "delete_entities":
            return tool, {"entityNames": self.names(2)}
        if tool == "delete_observations":
            deletions = []
            for name in self.names():
                entity = self.graph.named(name)
                texts = entity["observations"] if entity and entity["observations"] else ["never said"]
                deletions.append({"entityName": name, "observations": self.some(texts)})
            return tool, {"deletions": deletions}
        if tool == "delete_relations":
            return tool, {"relations": [self.relation() for _ in range(self.random.randint(1, 2))]}
        if tool == "search_nodes":
            queries = [query for query in QUERIES if " " not in query and query.isascii()] if self.plain else QUERIES + ["tea likes", "person 3"]
            return tool, {"query": self.random.choice(queries)}
        if tool == "open_nodes":
            return tool, {"names": self.names(4)}
        return tool, {}


def main():
    # Should a server hang, this ends, and with it what they read from.
    signal.alarm(280)
    upstream_command, memory_file, ours_command = json.loads(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    environment = json.loads(sys.argv[4])
    report = {"calls": 0, "plain": 0, "any": 0, "refused": 0, "differing": 0, "deletions": 0, "claimed": 0, "wrong": [], "extras": []}
    extras = set()

    def wrong(**what):
        if len(report["wrong"]) < 10:
            report["wrong"].append(json.loads(json.dumps(what)))

    upstream = Server(upstream_command, {**environment, "MEMORY_FILE_PATH": memory_file})
    ours = Server(ours_command, environment)
    for plain, seeds, calls in ((True, PLAIN_SEEDS, PLAIN_CALLS), (False, ANY_SEEDS, ANY_CALLS)):
        for seed in seeds:
            # A fresh start: everything is deleted, by the tools themselves.
            for server in (upstream, ours):
                names = [entity["name"] for entity in server.call("read_graph", {})[0]["entities"]]
                if names:
                    server.call("delete_entities", {"entityNames": names})
                left, _ = server.call("read_graph", {})
                if plain and (left["entities"] or left["relations"]):
                    wrong(what="deleting everything left something", left=left)
            if not plain:
                # Upstream's dangling relations stay when entities are deleted that they do not name.
                left = upstream.call("read_graph", {})[0]["relations"]
                if left:
                    upstream.call("delete_relations", {"relations": left})
            caller, expected = Caller(seed, plain), Model(ours=True)
            for number in range(calls):
                tool, arguments = caller.next()
                theirs, _ = upstream.call(tool, arguments)
                mine, text = ours.call(tool, arguments)
                report["calls"] += 1
                report["plain" if plain else "any"] += 1
                place = {"seed": seed, "call": number, "tool": tool, "arguments": arguments}
                foretold_theirs, foretold_mine = caller.graph.answer(tool, arguments), expected.answer(tool, arguments)
                if theirs is None or mine is None:
                    report["refused"] += theirs is None
                if mine is not None:
                    extras |= {f"{tool}.{name}" for name in mine.keys() - (theirs or mine).keys()}
                    if json.loads(text) != mine or text != json.dumps(mine, ensure_ascii=False, separators=(",", ":")):
                        wrong(what="the text is not the result as compact JSON", text=text, result=mine, **place)
                report["deletions"] += tool.startswith("delete_")
                report["claimed"] += tool.startswith("delete_") and theirs["success"] and not mine["success"]
                one, other = comparable(tool, theirs, "kept"), comparable(tool, mine, "dropped")
                if one != comparable(tool, foretold_theirs, "kept"):
                    wrong(what="upstream is not what its model says", upstream=one, model=foretold_theirs, **place)
                if comparable(tool, mine, "kept") != comparable(tool, foretold_mine, "kept"):
                    wrong(what="ours is not what our rules say", ours=mine, rules=foretold_mine, **place)
                if one != other:
                    report["differing"] += 1
                    if plain:
                        wrong(what="answers differ", upstream=one, ours=other, **place)
            theirs, mine = upstream.call("read_graph", {})[0], ours.call("read_graph", {})[0]
            if plain and theirs != mine:
                wrong(what="graphs differ", seed=seed, upstream=theirs, ours=mine)
            if mine != expected.answer("read_graph", {}):
                wrong(what="our graph is not what our rules say", seed=seed, ours=mine)
    report["extras"] = sorted(extras)
    report["rules"] = RULES
    report["graph"] = ours.call("read_graph", {})[0]
    upstream.end()
    ours.end()
    json.dump(report, sys.stdout)


main()
