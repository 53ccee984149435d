"""A small MCP server over standard input and output, without dependencies, that can also misbehave.

Options: --log FILE (what happened, a line each), --die-while FILE (ends at once while FILE exists), --silent (answers nothing), --slow-start,
--stubborn (ignores the end of its input and SIGTERM), --chatty (prints garbage and log notifications before each answer),
--few (has only its first tool).
"""

import json
import os
import signal
import subprocess
import sys
import time

OPTIONS = sys.argv[1:]


def option(name):
    return OPTIONS[OPTIONS.index(name) + 1] if name in OPTIONS else None


def log(line):
    path = option("--log")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def write(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def text(value):
    return {"content": [{"type": "text", "text": value}]}


def tool(name, description="", **annotations):
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    return {"name": name, "description": description, "inputSchema": schema, "annotations": annotations}


TOOLS = [
    tool("echo", "Says it again.", readOnlyHint=True, openWorldHint=False),
    tool("who"), tool("environment"), tool("crash"), tool("hang"), tool("never"), tool("large"), tool("endless"), tool("picture"), tool("structured"),
    tool("fails"), tool("refused"), tool("wrong_shape"), tool("complains"), tool("grows"), tool("spawns"), tool("dotted.name/x"),
]


def call(name, arguments):
    if name == "echo":
        return text(arguments.get("text", ""))
    if name == "who":
        return text(json.dumps({"pid": os.getpid(), "id": os.environ.get("PERSON"), "phone": os.environ.get("PHONE")}))
    if name == "environment":
        with open("/proc/self/environ", encoding="utf-8") as file:
            return text(json.dumps(dict(pair.split("=", 1) for pair in file.read().split("\0") if pair)))
    if name == "crash":
        os._exit(3)
    if name == "hang":
        time.sleep(3600)
    if name == "large":
        return text("x" * 3_000_000)
    if name == "endless":
        while True:
            sys.stdout.write("noise " * 10_000)
    if name == "picture":
        return {"content": [{"type": "text", "text": "look"}, {"type": "image", "data": "QUJD", "mimeType": "image/png"}]}
    if name == "structured":
        return {"content": [], "structuredContent": {"answer": 42}}
    if name == "fails":
        return {"content": [{"type": "text", "text": "no such file" + arguments.get("text", "")}], "isError": True}
    if name == "wrong_shape":
        return ["not", "an", "object", arguments.get("text", "")]
    if name == "complains":
        sys.stderr.write("MARKED-STDERR " + "y" * 100_000 + "\n")
        sys.stderr.flush()
        return text("complained")
    if name == "grows":
        TOOLS.append(tool("grown"))
        write({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text("grown")
    if name == "spawns":
        # Its pipes are its own, so it holds none of ours open.
        nobody = subprocess.DEVNULL
        return text(str(subprocess.Popen(["sleep", "600"], stdin=nobody, stdout=nobody, stderr=nobody).pid))
    if name == "dotted.name/x":
        return text("dotted")
    return None


def repeated(request):
    """The text among the arguments, which careless servers repeat in their errors."""
    return ((request.get("params") or {}).get("arguments") or {}).get("text", "")


def answer(request):
    method, identity = request.get("method"), request.get("id")
    if identity is None:
        log(method + (" " + str(request["params"].get("requestId")) if method == "notifications/cancelled" else ""))
        return
    if "--silent" in OPTIONS:
        return
    if "--chatty" in OPTIONS:
        print("this line is not of the protocol")
        write({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "MARKED-NOTIFICATION"}})
    if method == "initialize":
        result = {
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "small", "version": "1"},
            "instructions": "Ask politely.",
        }
    elif method == "tools/list":
        # Two pages.
        half = len(TOOLS) // 2
        if "--few" in OPTIONS:
            result = {"tools": TOOLS[:1]}
        elif request.get("params", {}).get("cursor"):
            result = {"tools": TOOLS[half:]}
        else:
            result = {"tools": TOOLS[:half], "nextCursor": "second"}
    elif method == "tools/call":
        log("call %s %s" % (request["params"]["name"], identity))
        if request["params"]["name"] == "never":
            return
        result = call(request["params"]["name"], request["params"].get("arguments") or {})
    else:
        result = None
    if result is None:
        write({"jsonrpc": "2.0", "id": identity, "error": {"code": -32602, "message": "that is not known here" + repeated(request)}})
    else:
        write({"jsonrpc": "2.0", "id": identity, "result": result})


def main():
    log("start %d" % os.getpid())
    blocker = option("--die-while")
    if blocker and os.path.exists(blocker):
        sys.exit(4)
    if "--slow-start" in OPTIONS:
        time.sleep(0.6)
    if "--stubborn" in OPTIONS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        answer(json.loads(line))
    log("left")
    while "--stubborn" in OPTIONS:
        time.sleep(1)


main()
