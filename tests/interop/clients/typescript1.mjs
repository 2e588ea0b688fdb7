// `typescript1.mjs URL MODE NAME`: the last TypeScript SDK 1.x takes the tour.
//
// It knows the legacy era only, so MODE must be `legacy`. NAME tells one run from another. The URL says
// the transport: `ws://` a WebSocket, a path that ends in `/sse` HTTP+SSE.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { CAPABILITIES, REPLIES, main } from './tour.mjs';

const [url, , name] = process.argv.slice(2);
const REQUESTS = [types.ElicitRequestSchema, types.CreateMessageRequestSchema, types.ListRootsRequestSchema];

function transportFor(address) {
  if (address.startsWith('ws:')) return WebSocketClientTransport;
  return address.endsWith('/sse') ? SSEClientTransport : StreamableHTTPClientTransport;
}

async function connect() {
  const client = new Client({ name: 'tour', version: '1' }, { capabilities: CAPABILITIES });
  const transport = new (transportFor(url))(new URL(url));
  const logs = [];
  const heard = [];
  for (const schema of REQUESTS) client.setRequestHandler(schema, REPLIES[schema.shape.method.value]);
  const on = (schema, hear) => client.setNotificationHandler(schema, hear);
  on(types.LoggingMessageNotificationSchema, ({ params }) => void logs.push(params.data));
  on(types.ToolListChangedNotificationSchema, () => void heard.push('tools'));
  on(types.ResourceUpdatedNotificationSchema, ({ params }) => void heard.push(params.uri));
  await client.connect(transport);
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
