// Drives MCP servers with the protocol's own TypeScript client: reads one job from standard input, prints one report.
// The job and the report are those of python.py; the SDK has one mode, "default".

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The SDK is installed elsewhere: the folder is the script's one argument.
const require = createRequire(process.argv[2] + "/");
const load = (name) => import(pathToFileURL(require.resolve("@modelcontextprotocol/sdk/" + name)).href);
const { Client } = await load("client/index.js");
const { StreamableHTTPClientTransport } = await load("client/streamableHttp.js");
const { StdioClientTransport } = await load("client/stdio.js");

const filled = (value, made) => {
  if (value === "$id") return made;
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner, made)]));
};

const madeBy = ({ structuredContent }) => (structuredContent?.todo ?? structuredContent?.schedule)?.id;

const take = (client, method, args) => {
  switch (method) {
    case "tools": return client.listTools();
    case "resources": return client.listResources();
    case "templates": return client.listResourceTemplates();
    case "prompts": return client.listPrompts();
    case "call": return client.callTool({ name: args.name, arguments: args.arguments ?? {} });
    case "read": return client.readResource({ uri: args.uri });
    case "prompt": return client.getPrompt({ name: args.name, arguments: args.arguments ?? {} });
  }
};

const run = async (server, steps) => {
  const transport = server.url
    ? new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: server.headers } })
    : new StdioClientTransport({ command: server.command, args: server.args, env: server.env, stderr: "inherit" });
  const client = new Client({ name: "scrubjay-test", version: "1.0.0" });
  await client.connect(transport);
  const results = [];
  let made;
  for (const [method, args] of steps) {
    try {
      const result = await take(client, method, filled(args, made));
      made = madeBy(result) ?? made;
      results.push(result);
    } catch (error) {
      if (typeof error.code !== "number") throw error;
      results.push({ protocolError: error.code, message: error.message });
    }
  }
  const server_info = client.getServerVersion();
  await client.close();
  return { revision: transport.protocolVersion ?? null, server: server_info.name, results };
};

let text = "";
for await (const chunk of process.stdin) text += chunk;
const job = JSON.parse(text);
const report = {};
for (const [name, server] of Object.entries(job.servers)) report[`${name} default`] = await run(server, job.steps);
process.stdout.write(JSON.stringify(report), () => process.exit(0));
