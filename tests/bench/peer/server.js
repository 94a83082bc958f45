// tests/bench/peer/server.js - the edge contract as a Deno function: Deno.serve, the npm driver
// `postgres` straight to Postgres, 200 only after commit. No JWT check and no model: both are in the
// peer's favour. With ANALYZER=local it stores a made-up verdict for every message and captures
// every fifth one, all in the statement that stores the message.
// Environment: PGHOST (socket folder), PGPORT, PGDATABASE, PGUSER, POOL, LISTEN (socket path),
// ANALYZER (off, local).
import postgres from "postgres";

const env = Deno.env.toObject();
const BODY_MAX_BYTES = 65536;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const FOREIGN_KEY_VIOLATION = "23503";
const MISSING = "Missing required fields: message, username, streamSessionId";

const headers = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
  "content-type": "application/json",
};

// Text types are not fetched and every statement is prepared once per connection: the driver's
// fast path.
const sql = postgres({
  host: env.PGHOST,
  port: Number(env.PGPORT),
  database: env.PGDATABASE,
  username: env.PGUSER,
  max: Number(env.POOL),
  fetch_types: false,
  prepare: true,
});

const storeOnly = (m) => sql`
  insert into public.chat_messages (stream_session_id, username, message, platform)
  values (${m.streamSessionId}, ${m.username}, ${m.message}, ${m.platform})`;

const storeWithVerdict = (m) => sql`
  with stored as (
    insert into public.chat_messages (stream_session_id, username, message, platform)
    values (${m.streamSessionId}, ${m.username}, ${m.message}, ${m.platform})
    returning id)
  insert into public.message_analysis
    (message_id, is_buyer, confidence, message_type, analyzer, captured)
  select id, false, 0.9, 'general', 'local', false from stored`;

const storeWithSale = (m) => sql`
  with stored as (
    insert into public.chat_messages (stream_session_id, username, message, platform)
    values (${m.streamSessionId}, ${m.username}, ${m.message}, ${m.platform})
    returning id),
  judged as (
    insert into public.message_analysis
      (message_id, is_buyer, confidence, message_type, analyzer, captured)
    select id, true, 0.95, 'direct_purchase', 'local', true from stored),
  sold as (
    insert into public.sales_captured
      (id, user_id, stream_session_id, platform, buyer_username, message_text)
    select stored.id, s.user_id, s.id, ${m.platform}, ${m.username}, ${m.message}
    from stored, public.stream_sessions s where s.id = ${m.streamSessionId})
  update public.stream_sessions set total_sales_caught = total_sales_caught + 1
  where id = ${m.streamSessionId}`;

const SKIPPED =
  '{"success":true,"analyzed":false,"message":"Message stored (AI analysis skipped)"}';
const verdict = (isBuyer) => JSON.stringify({
  success: true,
  analyzed: true,
  analysis: {
    is_buyer: isBuyer,
    confidence: isBuyer ? 0.95 : 0.9,
    message_type: isBuyer ? "direct_purchase" : "general",
    auto_captured: isBuyer,
  },
});
const BUYER = verdict(true);
const NO_BUYER = verdict(false);

let count = 0;

async function store(message) {
  if (env.ANALYZER !== "local") {
    await storeOnly(message);
    return SKIPPED;
  }
  const isBuyer = count++ % 5 === 0;
  await (isBuyer ? storeWithSale(message) : storeWithVerdict(message));
  return isBuyer ? BUYER : NO_BUYER;
}

const fail = (status, error) =>
  new Response(JSON.stringify({ error, success: false }), { status, headers });

function check(body) {
  const { message, username, streamSessionId, platform = "whatnot" } = body ?? {};
  for (const text of [message, username, streamSessionId]) {
    if (typeof text !== "string" || text.trim() === "") return MISSING;
  }
  if (!UUID.test(streamSessionId)) return "Invalid streamSessionId";
  if (typeof platform !== "string") return "Invalid platform";
  return { message, username, streamSessionId, platform };
}

async function handle(request) {
  if (request.method === "OPTIONS") return new Response("ok", { headers });
  if (request.method !== "POST") return fail(405, "Method not allowed");
  let body;
  try {
    const text = await request.text();
    if (text.length > BODY_MAX_BYTES) return fail(413, "Body too large");
    body = JSON.parse(text);
  } catch (why) {
    return fail(400, why.message);
  }
  const message = check(body);
  if (typeof message === "string") return fail(400, message);
  try {
    return new Response(await store(message), { headers });
  } catch (why) {
    return why.code === FOREIGN_KEY_VIOLATION
      ? fail(404, "Unknown stream session")
      : fail(503, "Message not stored");
  }
}

Deno.serve({ path: env.LISTEN, onListen() {} }, handle);
