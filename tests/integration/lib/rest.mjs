// dealflow-rest behind the real nginx, on a real Postgres, for one test file.
import path from 'node:path';
import WebSocket from 'ws';
import { createClient } from '@supabase/supabase-js';
import { Program, root } from './program.mjs';
import { Nginx } from './nginx.mjs';
import { OTHER_OWNER, OWNER, startSystem } from './system.mjs';
import { JWT_SECRET, token } from './tokens.mjs';

const preset = process.env.DF_PRESET || 'debug';
export const restBinary = path.join(path.resolve(root, process.env.DF_BUILD_DIR || `build/${preset}`), 'bin/dealflow-rest');

export const PUBLISHABLE = 'sb_publishable_rest_test';
export const SECRET = 'sb_secret_rest_test';
const LOGIN = 'dealflow_rest_test';

// The login that deploy/up makes: it may become a caller's role and nothing else. Roles belong to the
// server, which the systems of a test file share.
async function makeLogin(system) {
  await system.db.query(`
    do $$ begin
      if not exists (select from pg_roles where rolname = '${LOGIN}') then
        create role ${LOGIN} login noinherit;
        grant anon, authenticated, service_role to ${LOGIN};
      end if;
    end $$`);
  return system.postgres.socketUrl(LOGIN, system.database);
}

// env: settings of dealflow-rest. A system of lib/system.mjs, with `rest` (the Program), `url`, and
// makers of clients. function: also start monitor-realtime-stream.
export async function startRest({ env = {}, nginx = {}, postgres, withFunction = false } = {}) {
  const system = await startSystem({ begin: false, postgres, env: { ANALYZER: 'local' } });
  try {
    const url = await makeLogin(system);
    system.rest = new Program(system.dir, {
      DATABASE_URL: url, JWT_SECRET, API_KEYS: `${PUBLISHABLE}=anon,${SECRET}=service_role`,
      FCGI_SOCKET: path.join(system.dir, 'rest.sock'),
      METRICS_LISTEN: path.join(system.dir, 'rest-metrics.sock'), ...env,
    }, () => [restBinary, []]);
    system.rest.metricsSocket = path.join(system.dir, 'rest-metrics.sock');
    system.nginx = new Nginx(system.dir, {
      FCGI_SOCKET: system.program.socket, METRICS_LISTEN: system.program.metricsSocket,
      REST_SOCKET: path.join(system.dir, 'rest.sock'), ...nginx,
    });
    if (withFunction) await system.program.start();
    else system.program = undefined;
    await system.rest.start();
    await system.nginx.start();
    system.url = system.nginx.url;
    await addClients(system);
    const stop = system.stop.bind(system);
    system.stop = async () => {
      await system.nginx.stop();
      let problem;
      await system.rest.stop().catch((error) => { problem = error; });
      await stop();
      if (problem) throw problem;
    };
    return system;
  } catch (error) {
    await system.nginx?.stop();
    await system.rest?.child?.stop('SIGKILL');
    await system.stop({ unclean: true }).catch(() => {});
    throw error;
  }
}

// As an app makes it: the anon key, and the user's token where there is a user.
export function clientFor(url, key, bearer, options = {}) {
  return createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    realtime: { transport: WebSocket },
    ...(bearer ? { accessToken: async () => bearer } : {}),
    ...options,
  });
}

async function addClients(system) {
  system.anonKey = await token({ role: 'anon' });
  system.ownerToken = await token({ role: 'authenticated', sub: OWNER });
  system.otherToken = await token({ role: 'authenticated', sub: OTHER_OWNER });
  system.serviceKey = await token({ role: 'service_role' });
  system.anon = clientFor(system.url, system.anonKey);
  system.owner = clientFor(system.url, system.anonKey, system.ownerToken);
  system.other = clientFor(system.url, system.anonKey, system.otherToken);
  system.service = clientFor(system.url, system.serviceKey);
  // A plain request, by default the owner's.
  system.ask = (where, { headers = {}, as = system.ownerToken, ...more } = {}) =>
    system.request(`/rest/v1/${where}`, {
      ...more, headers: { ...(as ? { authorization: `Bearer ${as}`, apikey: system.anonKey } : {}), ...headers },
    });
}
