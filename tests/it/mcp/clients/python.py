"""Drives MCP servers with the protocol's own Python client: reads one job from standard input, prints one report.

A job is {"servers": {NAME: {"url", "headers"} or {"command", "args", "env"}}, "modes": [...], "steps": [[METHOD, ARGUMENTS], ...]}.
The report holds, for each server and mode, the revision that was agreed on and what came of each step. Where arguments hold "$id",
the id of the item or the schedule is put in that was made last.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError


def plain(result):
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def filled(value, made):
    if isinstance(value, dict):
        return {key: filled(inner, made) for key, inner in value.items()}
    return made if value == "$id" else value


def made_by(result):
    structured = result.get("structuredContent") or {}
    found = structured.get("todo") or structured.get("schedule") or {}
    return found.get("id")


async def take(client, method, arguments):
    match method:
        case "tools":
            return plain(await client.list_tools())
        case "resources":
            return plain(await client.list_resources())
        case "templates":
            return plain(await client.list_resource_templates())
        case "prompts":
            return plain(await client.list_prompts())
        case "call":
            return plain(await client.call_tool(arguments["name"], arguments.get("arguments", {})))
        case "read":
            return plain(await client.read_resource(arguments["uri"]))
        case "prompt":
            return plain(await client.get_prompt(arguments["name"], arguments.get("arguments", {})))


async def run(server, mode, steps):
    async with AsyncExitStack() as stack:
        if "url" in server:
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=server["headers"], timeout=30))
            transport = streamable_http_client(server["url"], http_client=http)
        else:
            transport = StdioServerParameters(command=server["command"], args=server["args"], env=server["env"])
        client = await stack.enter_async_context(Client(transport, mode=mode))
        results, made = [], None
        for method, arguments in steps:
            try:
                results.append(await take(client, method, filled(arguments, made)))
                made = made_by(results[-1]) or made
            except MCPError as error:
                results.append({"protocolError": error.error.code, "message": error.error.message})
        return {"revision": client.protocol_version, "results": results}


async def main():
    job = json.load(sys.stdin)
    report = {}
    for name, server in job["servers"].items():
        for mode in job["modes"]:
            report[f"{name} {mode}"] = await asyncio.wait_for(run(server, mode, job["steps"]), 60)
    json.dump(report, sys.stdout)


asyncio.run(main())
