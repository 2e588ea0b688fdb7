// typescript1_stdio.mjs COMMAND ARGUMENT…: a server that is started, with the TypeScript SDK 1.x.
//
// Prints one JSON object: the revision that was agreed, and the names of the tools.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: "stdio", version: "1" });
const transport = new StdioClientTransport({ command, args });
let revision;
transport.setProtocolVersion = (version) => { revision = version; };
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
await client.close();
console.log(JSON.stringify({ revision, tools }));
