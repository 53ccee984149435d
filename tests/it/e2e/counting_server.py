"""An MCP server over standard input and output whose one tool writes a line for each call, so that a repeat is seen.

Arguments: the file of lines, and the number of the line from which on a call does not come back: it has had its effect, says so in a
file beside (LINES.stalled holds the number) and waits until its client is gone.
"""

import json
import os
import sys
import time

LINES, STALL_FROM = sys.argv[1], int(sys.argv[2])
PARENT = os.getppid()


def count(by):
    with open(LINES, "a+", encoding="utf-8") as file:
        file.write(f"{by}\n")
        file.flush()
        file.seek(0)
        written = len(file.readlines())
    if written >= STALL_FROM:
        with open(LINES + ".stalled", "w", encoding="utf-8") as file:
            file.write(str(written))
        while os.getppid() == PARENT:
            time.sleep(0.02)
        sys.exit(0)
    return {"content": [{"type": "text", "text": f"{written} so far"}]}


def answer(method, parameters):
    if method == "initialize":
        version = parameters["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "counting", "version": "1"}}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"by": {"type": "integer"}}}
        return {"tools": [{"name": "count", "description": "Counts on.", "inputSchema": schema}]}
    if method == "tools/call":
        return count(parameters["arguments"].get("by"))
    return None


for line in sys.stdin:
    request = json.loads(line)
    if "id" not in request:
        continue
    result = answer(request["method"], request.get("params") or {})
    reply = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}) + "\n")
    sys.stdout.flush()
