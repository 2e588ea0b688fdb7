// What every TypeScript client does at the fixture server, and the report it makes of it: the same
// tour as tour.py, so that the tests can compare the reports of all clients.
//
// A visitor hides how the SDKs differ. It has
//   about(), tools(), call(params, options), read(uri), prompt(name, args), complete(name, arg, value),
//   watch(uri) -> { seen, end() },  logs, modern

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

const WATCHED = 'test://watched-resource';
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';
const PATIENCE = 60_000; // milliseconds that something we wait for may take

const ANSWERS = {
  name: 'Alice', color: 'blue', context: 'a test', ok: true,
  username: 'alice', email: 'alice@example.com',
};

export const CAPABILITIES = { elicitation: {}, sampling: {}, roots: {} };

// What the clients answer when they are asked, by method.
export const REPLIES = {
  'elicitation/create': async ({ params }) => ({
    action: 'accept',
    content: Object.fromEntries(
      Object.keys(params.requestedSchema.properties).map((name) => [name, ANSWERS[name]]),
    ),
  }),
  'sampling/createMessage': async () => ({
    role: 'assistant', model: 'a-test', content: { type: 'text', text: 'forty-two' },
  }),
  'roots/list': async () => ({ roots: [{ uri: 'file:///work' }] }),
};

// Give a connected client its messages one by one, in the order they come. The SDKs let go of a call's
// progress at once when its answer comes, but tell of progress a moment after that came: of the two in
// one read, they lose the progress. `typescript1_order.mjs` shows it without any daemon.
export function oneByOne(transport) {
  const deliver = transport.onmessage;
  let last = Promise.resolve();
  transport.onmessage = (...message) => {
    last = last.then(() => nextTurn()).then(() => deliver(...message));
  };
}

// How to start what a `stdio:` URL names, which is a command as JSON; undefined for other URLs.
export function commandIn(url) {
  if (!url.startsWith('stdio:')) return undefined;
  const [command, ...args] = JSON.parse(url.slice('stdio:'.length));
  return { command, args, env: process.env };
}

const words = (result) => result.content[0].text;

async function until(ready) {
  const end = Date.now() + PATIENCE;
  while (!(await ready())) {
    if (Date.now() > end) return false;
    await sleep(50);
  }
  return true;
}

async function codeOf(attempt) {
  try {
    return `no error but ${JSON.stringify(await attempt)}`;
  } catch (error) {
    return error.code ?? String(error);
  }
}

const inJournal = (visitor, line) =>
  until(async () => (await visitor.read('test://journal')).contents[0].text.split('\n').includes(line));

async function lookAround(visitor) {
  const steps = [];
  const picture = (await visitor.call({ name: 'test_image_content' })).content[0];
  const failure = await visitor.call({ name: 'test_error_handling' });
  const said = await visitor.call(
    { name: 'test_tool_with_progress' },
    { onprogress: ({ progress, total }) => steps.push([progress, total]) },
  );
  const binary = (await visitor.read('test://static-binary')).contents[0];
  const message = (await visitor.prompt('test_prompt_with_arguments', { arg1: 'one', arg2: 'two' })).messages[0];
  return {
    tools: await visitor.tools(),
    simple: words(await visitor.call({ name: 'test_simple_text' })),
    echo: words(await visitor.call({ name: 'echo', arguments: { text: 'snow ☃ and \u2028 and 😀' } })),
    header: words(await visitor.call({ name: 'test_x_mcp_header', arguments: { region: 'Zürich' } })),
    image: [picture.mimeType, picture.data.slice(0, 8)],
    failure: [failure.isError, words(failure)],
    'unknown tool': await codeOf(visitor.call({ name: 'no_such_tool' })),
    progress: [words(said), steps],
    resource: (await visitor.read('test://static-text')).contents[0].text,
    binary: [binary.mimeType, binary.blob.slice(0, 8)],
    template: JSON.parse((await visitor.read('test://template/7/data')).contents[0].text),
    'missing resource': await codeOf(visitor.read('test://nowhere')),
    prompt: message.content.text,
    completion: await visitor.complete('test_prompt_with_arguments', 'arg1', 'par'),
  };
}

async function listenIn(visitor) {
  const _meta = visitor.modern ? { [LOG_LEVEL]: 'info' } : undefined;
  await visitor.call({ name: 'test_logging_tool', _meta });
  await until(() => visitor.logs.length >= 3);
  const watch = await visitor.watch(WATCHED);
  await visitor.call({ name: 'test_trigger_tool_change' });
  await visitor.call({ name: 'trigger_resource_update' });
  await until(() => visitor.heard.includes('tools') && visitor.heard.includes(WATCHED));
  await watch.end();
  return { logs: visitor.logs, changes: [...new Set(visitor.heard)].sort() };
}

async function beAsked(visitor) {
  if (!visitor.modern) {
    return {
      elicitation: words(await visitor.call({ name: 'test_elicitation', arguments: { message: 'Who?' } })),
      sampling: words(await visitor.call({ name: 'test_sampling', arguments: { prompt: '6 x 7?' } })),
    };
  }
  const asked = await visitor.prompt('test_input_required_result_prompt');
  return {
    'three inputs': words(await visitor.call({ name: 'test_input_required_result_multiple_inputs' })),
    'two rounds': words(await visitor.call({ name: 'test_input_required_result_multi_round' })),
    'asking prompt': asked.messages[0].content.text,
  };
}

async function changeMyMind(visitor, name) {
  const cancel = new AbortController();
  const call = visitor.call(
    { name: 'wait', arguments: { text: name, seconds: 60 } },
    { signal: cancel.signal },
  );
  const ended = call.catch(() => {});
  await inJournal(visitor, `started ${name}`);
  cancel.abort('no interest');
  await ended;
  return { cancelled: await inJournal(visitor, `cancelled ${name}`) };
}

async function comeInPairs(connect) {
  const wrong = [];
  const ask = async (visitor, text, seconds) => {
    const said = words(await visitor.call({ name: 'wait', arguments: { text, seconds } }));
    if (said !== text) wrong.push(`asked ${text}, was told ${said}`);
  };
  const [one, two] = await Promise.all([connect(), connect()]);
  // The later asked is the sooner answered, so that no order helps by chance.
  await Promise.all(Array.from({ length: 8 }, (_, number) => Promise.all([
    ask(one, `one ${number}`, 0.4 - number * 0.05),
    ask(two, `two ${number}`, 0.05 + number * 0.05),
  ])));
  await Promise.all([one.close(), two.close()]);
  return { 'mixed up': wrong };
}

// What differs between the eras, and nothing else.
async function shortTour(connect, name) {
  const visitor = await connect();
  const steps = [];
  const onprogress = ({ progress }) => void steps.push(progress);
  await visitor.call({ name: 'test_tool_with_progress' }, { onprogress });
  const report = {
    progress: steps,
    elicitation: words(await visitor.call({ name: 'test_elicitation', arguments: { message: 'Who?' } })),
    sampling: words(await visitor.call({ name: 'test_sampling', arguments: { prompt: '6 x 7?' } })),
    roots: words(await visitor.call({ name: 'test_input_required_result_list_roots' })),
    ...(await listenIn(visitor)),
    ...(await changeMyMind(visitor, name)),
  };
  await visitor.close();
  return report;
}

// Take the tour and print the report, one line of JSON; exit 1 with the error otherwise. The tour is
// the short one where the last word of the command line is `short`.
export async function main(connect, name) {
  try {
    if (process.argv.at(-1) === 'short') {
      console.log(JSON.stringify(await shortTour(connect, name)));
      process.exit(0);
    }
    const visitor = await connect();
    const report = {
      ...visitor.about(),
      ...(await lookAround(visitor)),
      ...(await listenIn(visitor)),
      ...(await beAsked(visitor)),
      ...(await changeMyMind(visitor, name)),
    };
    await visitor.close();
    console.log(JSON.stringify({ ...report, ...(await comeInPairs(connect)) }));
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
