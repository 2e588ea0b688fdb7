// `typescript2.mjs URL MODE NAME`: the TypeScript SDK 2.x takes the tour.
//
// MODE is `legacy` (what it does unless told otherwise), `auto`, or a protocol revision to insist on.
// NAME tells one run from another. A URL with `stdio:` is a command, as JSON.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { CAPABILITIES, REPLIES, commandIn, main, oneByOne } from './tour.mjs';

const [url, mode, name] = process.argv.slice(2);
const negotiation = {
  legacy: {},
  auto: { versionNegotiation: { mode: 'auto' } },
}[mode] ?? { versionNegotiation: { mode: { pin: mode } } };

async function connect() {
  const client = new Client({ name: 'tour', version: '1' }, { capabilities: CAPABILITIES, ...negotiation });
  const command = commandIn(url);
  const transport = command
    ? new StdioClientTransport(command)
    : new StreamableHTTPClientTransport(new URL(url));
  const logs = [];
  const heard = [];
  for (const [method, reply] of Object.entries(REPLIES)) client.setRequestHandler(method, reply);
  client.setNotificationHandler('notifications/message', ({ params }) => void logs.push(params.data));
  client.setNotificationHandler('notifications/tools/list_changed', () => void heard.push('tools'));
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => void heard.push(params.uri));
  await client.connect(transport);
  oneByOne(transport);
  const modern = client.getProtocolEra() === 'modern';
  if (!modern) await client.setLoggingLevel('info');
  return {
    logs,
    heard,
    modern,
    about: () => ({
      revision: client.getNegotiatedProtocolVersion(),
      server: client.getServerVersion()?.name ?? null,
    }),
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name).sort(),
    call: (params, options) => client.callTool(params, options),
    read: (uri) => client.readResource({ uri }, { cacheMode: 'bypass' }),
    prompt: (prompt, args) => client.getPrompt({ name: prompt, arguments: args }),
    complete: async (prompt, argument, value) => (await client.complete({
      ref: { type: 'ref/prompt', name: prompt }, argument: { name: argument, value },
    })).completion.values,
    watch: async (uri) => {
      if (modern) {
        const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [uri] });
        return { end: () => subscription.close() };
      }
      await client.subscribeResource({ uri });
      return { end: () => client.unsubscribeResource({ uri }) };
    },
    close: async () => {
      if (!modern) await transport.terminateSession?.();
      await client.close();
    },
  };
}

await main(connect, name);
