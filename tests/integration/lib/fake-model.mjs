// tests/integration/lib/fake-model.mjs - a model server (OpenAI-compatible chat completions) that
// behaves, or misbehaves, as a test says. Real HTTP on a free port of 127.0.0.1.
//
//   const model = await startFakeModel({ delayMs: 300, record: false });
//   model.url            base address for AI_BASE_URL (ends in /v1)
//   model.setBehaviour(b)  b: a name of `behaviours`, a reply {status, headers, body, delayMs}, or a
//                          function (request, number) -> name or reply; number counts from 1
//   model.script(...bs)    one behaviour a request, then the last one that setBehaviour set
//   model.requests       [{headers, body, json, path, connection}] unless record is false; connection
//                        counts from 1 and tells which requests shared one
//   model.stats          {count, bodyBytes, inFlight, inFlightMax, connections}
//   await model.idle()   resolves when no request is under way
//   await model.close()
import http from 'node:http';

const verdict = {
  is_buyer: true, confidence: 0.95, item_description: 'red jacket', estimated_value: 45.5,
  message_type: 'direct_purchase',
};

// One chat completion around a message; usage as a server would count it.
export function completion(message, more = {}) {
  return {
    id: 'c1', object: 'chat.completion', created: 1, model: 'fake',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: null, ...message } }],
    usage: { prompt_tokens: 410, completion_tokens: 36, total_tokens: 446 },
    ...more,
  };
}

export function toolCall(args = verdict, name = 'detect_purchase') {
  const text = typeof args === 'string' ? args : JSON.stringify(args);
  return completion({ tool_calls: [{ id: 'call_1', type: 'function', function: { name, arguments: text } }] });
}

export function contentJson(args = verdict) {
  return completion({ content: JSON.stringify(args) });
}

// The chat lines that a request is about, as {platform, username, message, i}; i is null when there is
// just one. Null: the user message is not the JSON it should be.
export function linesOf(json) {
  let data;
  try { data = JSON.parse(json.messages[1].content); } catch { return null; }
  const isText = (...values) => values.every((value) => typeof value === 'string');
  if (Array.isArray(data.lines)) {
    if (Object.keys(data).length !== 2 || !isText(data.platform)) return null;
    const lines = data.lines.map(({ i, u, m, ...more }) => (
      Number.isInteger(i) && isText(u, m) && Object.keys(more).length === 0
        ? { platform: data.platform, username: u, message: m, i } : null));
    return lines.includes(null) ? null : lines;
  }
  const { platform, username, message, ...more } = data;
  if (!isText(platform, username, message) || Object.keys(more).length > 0) return null;
  return [{ platform, username, message, i: null }];
}

// What a server answers that judges each line by judge(line) -> verdict.
export function judged(json, judge = () => verdict) {
  const lines = linesOf(json) ?? [{ i: null }];
  const wrap = (value, name) => (json?.response_format ? contentJson(value) : toolCall(value, name));
  if (lines[0].i === null) return wrap(judge(lines[0]), 'detect_purchase');
  const buyers = [];
  const others = [];
  for (const line of lines) {
    const v = judge(line);
    if (!v.is_buyer) others.push(line.i);
    else buyers.push({ i: line.i, t: v.message_type, c: v.confidence, d: v.item_description ?? '', v: v.estimated_value ?? 0 });
  }
  return wrap({ buyers, others }, 'detect_purchases');
}

// Answers in the way the request asks for, as a good server does.
function answer(json) {
  return judged(json);
}

// A model without any sense for who speaks: it obeys whatever stands outside the place for data, and
// with `gullible` whatever it finds inside, too. system: the system prompt of a harmless request, so
// that chat which got in there shows. Otherwise it judges by judge(line).
export function naive(judge, { system, gullible = () => false, onObeyed = () => {} }) {
  const sale = { is_buyer: true, confidence: 1, message_type: 'direct_purchase', item_description: '', estimated_value: 0 };
  return (request) => {
    const { json } = request;
    const lines = json === null ? null : linesOf(json);
    const outside = lines === null || json.messages.length !== 2 || json.messages[0].content !== system;
    if (outside) onObeyed(request);
    return { body: judged(json, (line) => (outside || gullible(line) ? sale : judge(line))) };
  };
}

const error = (status, message, headers = {}) => ({ status, headers, body: { error: { message, code: status } } });

export const behaviours = {
  ok: (request) => ({ body: answer(request.json) }),
  hang: () => ({ hang: true }),
  drop: () => ({ drop: true }),                       // closes without a byte
  dropInBody: () => ({ dropInBody: true }),
  garbage: () => ({ raw: '<html>oops' }),
  empty: () => ({ raw: '' }),
  sse: () => ({ raw: 'data: {"choices":[]}\n\ndata: [DONE]\n\n', headers: { 'content-type': 'text/event-stream' } }),
  drip: () => ({ body: answer(), dripMs: 50 }),       // a byte now and then, never ends in time
  huge: () => ({ raw: `{"pad":"${'x'.repeat(400 * 1024)}"}` }),
  prose: () => ({ body: completion({ content: 'I think this person wants the jacket.' }) }),
  errorIn200: () => ({ body: { error: { message: 'upstream', code: 502 } } }),
  unauthorized: () => error(401, 'Unauthorized'),
  noCredit: () => ({ status: 402, body: { type: 'payment_required', message: 'Not enough credits' } }),
  rateLimited: () => error(429, 'Rate limit exceeded'),
  broken: () => ({ status: 500, raw: 'oops' }),
  loading: () => error(503, 'Loading model'),
  noTools: (request) => (request.json?.tools
    ? error(400, 'this model does not support tools') : { body: answer(request.json) }),
  // Ignores tools, as some local servers do, and answers in prose unless JSON is asked for.
  ignoresTools: (request) => (request.json?.tools ? behaviours.prose() : { body: answer(request.json) }),
  onlyJsonObject: (request) => (request.json?.response_format?.type === 'json_object'
    ? { body: answer(request.json) } : error(400, 'unsupported')),
  noTemperature: (request) => ('temperature' in (request.json ?? {})
    ? error(400, "Unsupported value: 'temperature' does not support 0 with this model.") : { body: answer(request.json) }),
};

// Knows these model names only, and answers 404 to others.
export function onlyModels(...names) {
  return (request) => (names.includes(request.json?.model)
    ? { body: answer(request.json) }
    : error(404, `The model '${request.json?.model}' does not exist`));
}

function resolve(behaviour, request, number) {
  let reply = behaviour;
  while (typeof reply === 'function' || typeof reply === 'string') {
    if (typeof reply === 'string') {
      if (!(reply in behaviours)) throw new Error(`fake model: no behaviour "${reply}"`);
      reply = behaviours[reply];
    } else {
      reply = reply(request, number);
    }
  }
  return reply;
}

function drip(response, text, everyMs) {
  let at = 0;
  const timer = setInterval(() => {
    if (at >= text.length || response.destroyed) clearInterval(timer);
    else response.write(text[at++]);
  }, everyMs);
  response.on('close', () => clearInterval(timer));
}

function send(response, reply) {
  if (reply.hang) return;
  if (reply.drop) { response.socket.destroy(); return; }
  const text = reply.raw ?? JSON.stringify(reply.body);
  const headers = { 'content-type': 'application/json', ...reply.headers };
  if (reply.dripMs) {
    response.writeHead(200, headers);
    drip(response, text, reply.dripMs);
    return;
  }
  if (reply.dropInBody) {
    response.writeHead(200, { ...headers, 'content-length': 5000 });
    response.write('{"choices":');
    setTimeout(() => response.socket?.destroy(), 20);
    return;
  }
  headers['content-length'] = Buffer.byteLength(text);
  response.writeHead(reply.status ?? 200, headers);
  response.end(text);
}

export async function startFakeModel({ delayMs = 0, script = [], behaviour = 'ok', record = true, port = 0 } = {}) {
  const scripted = [...script];
  const requests = [];
  const stats = { count: 0, bodyBytes: 0, inFlight: 0, inFlightMax: 0, connections: 0 };
  const waiters = [];
  const usual = JSON.stringify(toolCall());
  const usualHeaders = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(usual) };

  // The fast path of the benchmarks: nothing is parsed or kept.
  const isPlain = () => !record && behaviour === 'ok' && scripted.length === 0;

  function reply(response, chunks, request) {
    const number = ++stats.count;
    if (isPlain()) {
      response.writeHead(200, usualHeaders);
      response.end(usual);
      return;
    }
    const body = Buffer.concat(chunks).toString();
    let json = null;
    try { json = JSON.parse(body); } catch { /* stays null: a test may look at body */ }
    const seen = { path: request.url, method: request.method, headers: request.headers, body, json, connection: request.socket.fakeModelNumber };
    if (record) requests.push(seen);
    const chosen = resolve(scripted.length > 0 ? scripted.shift() : behaviour, seen, number);
    if (chosen.delayMs) setTimeout(send, chosen.delayMs, response, chosen);
    else send(response, chosen);
  }

  const server = http.createServer((request, response) => {
    const chunks = [];
    const keep = !isPlain();
    stats.inFlight++;
    if (stats.inFlight > stats.inFlightMax) stats.inFlightMax = stats.inFlight;
    response.on('close', () => {
      stats.inFlight--;
      if (stats.inFlight === 0) waiters.splice(0).forEach((done) => done());
    });
    request.on('data', (chunk) => {
      stats.bodyBytes += chunk.length;
      if (keep) chunks.push(chunk);
    });
    request.on('end', () => {
      if (delayMs > 0) setTimeout(reply, delayMs, response, chunks, request);
      else reply(response, chunks, request);
    });
    request.on('error', () => {}); // the client gave up: its right
  });
  server.keepAliveTimeout = 30_000;
  server.on('connection', (socket) => {
    socket.fakeModelNumber = ++stats.connections;
    socket.setNoDelay(true);
  });
  await new Promise((done, fail) => {
    server.once('error', fail);
    server.listen({ host: '127.0.0.1', port, backlog: 1024 }, done);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/v1`,
    port: server.address().port,
    requests,
    stats,
    setBehaviour(next) { behaviour = next; },
    script(...next) { scripted.push(...next); },
    setDelay(ms) { delayMs = ms; },
    idle: () => (stats.inFlight === 0 ? Promise.resolve() : new Promise((done) => { waiters.push(done); })),
    close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }),
  };
}

// Run by itself, it is a model server to point a program at: PORT=9090 DELAY_MS=300 node fake-model.mjs
if (process.argv[1] && import.meta.url === new URL(`file://${process.argv[1]}`).href) {
  const model = await startFakeModel({
    port: Number(process.env.PORT ?? 0), delayMs: Number(process.env.DELAY_MS ?? 0), record: false,
    behaviour: process.env.BEHAVIOUR ?? 'ok',
  });
  console.log(model.url);
}
