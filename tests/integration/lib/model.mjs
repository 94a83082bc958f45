// The fake model server in the words of the tests here: what it says from now on, and what it was
// asked. lib/fake-model.mjs does the work.
import { startFakeModel, toolCall } from './fake-model.mjs';

const BUYER = {
  is_buyer: true, confidence: 0.95, item_description: 'red jacket', estimated_value: 45.5,
  message_type: 'direct_purchase',
};

export class Model {
  async start() {
    this.server = await startFakeModel({ port: this.port ?? 0 });
    this.port = this.server.port;
    this.url = this.server.url;
    this.buyer();
    return this;
  }

  // [{headers, body, json}] since the last clear().
  get requests() {
    return this.server.requests;
  }

  clear() {
    this.server.requests.length = 0;
  }

  // {status, body (text), headers, delayMs}, or a function of (request, number) that returns such.
  reply(plan) {
    const raw = ({ body, ...more }) => ({ raw: body ?? '', ...more });
    this.server.setBehaviour(typeof plan === 'function' ? (...asked) => raw(plan(...asked)) : raw(plan));
  }

  verdict(fields, more = {}) {
    this.reply({ body: JSON.stringify(toolCall({ item_description: '', estimated_value: 0, ...fields })), ...more });
  }

  buyer(more) {
    this.verdict(BUYER, more);
  }

  notBuyer(more) {
    this.verdict({ is_buyer: false, confidence: 0.2, message_type: 'general' }, more);
  }

  hang() {
    this.reply({ hang: true });
  }

  // Gone: connections are refused until start(), which comes back at the same port.
  async stop() {
    await this.server?.close();
  }
}
