// A plain HTTP client: headers go out as given and come back as they were on the wire.
import http from 'node:http';

// One request. `target` is a URL, or {socketPath, path} for a unix socket.
// Resolves to {status, headers, raw, body, ms}; rejects on a broken connection.
export function request(target, { method = 'GET', headers = {}, body, agent, timeoutMs = 30_000 } = {}) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const options = { method, agent, headers: { ...headers } };
    if (bytes !== undefined) options.headers['content-length'] = bytes.length;
    else if (method !== 'GET' && method !== 'HEAD') options.headers['content-length'] = 0;
    const call =
      typeof target === 'string'
        ? http.request(target, options)
        : http.request({ ...options, socketPath: target.socketPath, path: target.path });
    call.setTimeout(timeoutMs, () => call.destroy(new Error(`no answer in ${timeoutMs} ms`)));
    call.on('error', reject);
    call.on('response', (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', reject);
      response.on('aborted', () => reject(new Error('connection broke inside the answer')));
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          raw: response.rawHeaders,
          body: Buffer.concat(pieces).toString('utf8'),
          ms: performance.now() - began,
        }),
      );
    });
    call.end(bytes);
  });
}

export function keepAlive(connections) {
  return new http.Agent({ keepAlive: true, maxSockets: connections });
}
