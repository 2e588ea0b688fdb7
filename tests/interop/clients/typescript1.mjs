// `typescript1.mjs URL MODE NAME`: the last TypeScript SDK 1.x takes the tour.
//
// It knows the legacy era only, so MODE must be `legacy`. NAME tells one run from another. The URL says
// the transport: `ws:` and `wss:` a WebSocket, `stdio:` a command, a path that ends in `/sse` HTTP+SSE.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { CAPABILITIES, REPLIES, commandIn, main, oneByOne } from './tour.mjs';

const [url, , name] = process.argv.slice(2);
const REQUESTS = [types.ElicitRequestSchema, types.CreateMessageRequestSchema, types.ListRootsRequestSchema];

function transportTo(address) {
  if (address.startsWith('stdio:')) return new StdioClientTransport(commandIn(address));
  if (address.startsWith('ws')) return new WebSocketClientTransport(new URL(address));
  const Transport = address.endsWith('/sse') ? SSEClientTransport : StreamableHTTPClientTransport;
  return new Transport(new URL(address));
}

async function connect() {
  const client = new Client({ name: 'tour', version: '1' }, { capabilities: CAPABILITIES });
  const transport = transportTo(url);
  const logs = [];
  const heard = [];
  for (const schema of REQUESTS) client.setRequestHandler(schema, REPLIES[schema.shape.method.value]);
  const on = (schema, hear) => client.setNotificationHandler(schema, hear);
  on(types.LoggingMessageNotificationSchema, ({ params }) => void logs.push(params.data));
  on(types.ToolListChangedNotificationSchema, () => void heard.push('tools'));
  on(types.ResourceUpdatedNotificationSchema, ({ params }) => void heard.push(params.uri));
  await client.connect(transport);
  oneByOne(transport);
  await client.setLoggingLevel('info');
  return {
    logs,
    heard,
    modern: false,
    about: () => ({ revision: transport.protocolVersion, server: client.getServerVersion()?.name ?? null }),
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name).sort(),
    call: (params, options) => client.callTool(params, undefined, options),
    read: (uri) => client.readResource({ uri }),
    prompt: (prompt, args) => client.getPrompt({ name: prompt, arguments: args }),
    complete: async (prompt, argument, value) => (await client.complete({
      ref: { type: 'ref/prompt', name: prompt }, argument: { name: argument, value },
    })).completion.values,
    watch: async (uri) => {
      await client.subscribeResource({ uri });
      return { end: () => client.unsubscribeResource({ uri }) };
    },
    close: async () => {
      await transport.terminateSession?.();
      await client.close();
    },
  };
}

await main(connect, name);
