// deploy/demo/page.js - draws the show that show.js describes: chat, stage, bidding, lots.
import { colourOf, drawing } from './art.js';
import { JOINED, LOT_MS, biddingAt, lot, lotAt, messagesBetween, viewersAt } from './show.js';

const BACKLOG_MS = 25_000; // of chat that is there when the page opens
const ROWS_MAX = 150;
const LOTS_AROUND = 4;
const byId = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// --- chat

const chat = byId('chat');
let isAtEnd = true;
chat.addEventListener('scroll', () => { isAtEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 60; }, { passive: true });

const hueOf = (name) => [...name].reduce((sum, char) => (sum * 31 + char.codePointAt(0)) % 360, 7);

const row = (message) => {
  const item = make('li', message.text === JOINED ? 'joined' : message.role ? 'staff' : '');
  item.dataset.id = message.id;
  const avatar = make('span', 'avatar', message.user.slice(0, 2).toUpperCase());
  avatar.setAttribute('aria-hidden', 'true');
  avatar.style.setProperty('--hue', hueOf(message.user));
  const said = make('div', 'said');
  const head = make('div', 'head');
  head.append(make('span', 'username', message.user));
  if (message.role) head.append(make('span', 'badge', message.role));
  said.append(head, make('p', 'text', message.text));
  item.append(avatar, said);
  return item;
};

let shownUntil = 0;
const say = (now) => {
  const news = messagesBetween(shownUntil, now);
  shownUntil = now;
  if (news.length === 0) return;
  chat.append(...news.map(row));
  while (chat.children.length > ROWS_MAX) chat.firstElementChild.remove();
  if (isAtEnd) chat.scrollTop = chat.scrollHeight;
  const spoken = news.findLast(({ kind }) => kind.startsWith('host'));
  if (spoken) put(byId('caption'), spoken.text);
  for (const { kind } of news) if (kind === 'praise' || kind === 'after') addHeart();
};

// --- stage

const hearts = byId('hearts');
const isCalm = matchMedia('(prefers-reduced-motion: reduce)');
let heartCount = 0;
const addHeart = () => {
  if (isCalm.matches || document.hidden || hearts.childElementCount > 8) return;
  const heart = make('span', '', ['❤️', '🧡', '💛', '🔥', '👏'][heartCount++ % 5]);
  heart.style.setProperty('--drift', `${(heartCount * 53) % 60 - 30}px`);
  heart.addEventListener('animationend', () => heart.remove());
  hearts.append(heart);
};

let lotShown = -1;
const drawLot = (now) => {
  const current = lotAt(now);
  if (current.number === lotShown) return;
  lotShown = current.number;
  const thing = byId('thing');
  thing.innerHTML = drawing(current.kind); // a constant of art.js
  thing.style.setProperty('--colour', colourOf(current.colour));
  thing.classList.remove('enters');
  void thing.offsetWidth; // so that the animation begins anew
  thing.classList.add('enters');
  put(byId('lot-name'), `Lot ${1 + current.number % 200}: ${current.item}`);
  put(byId('lot-more'), `${current.colour} · ${current.size} · starts at $${current.start}`);
  const list = byId('lots');
  list.replaceChildren();
  for (let number = current.number - 2; number < current.number + LOTS_AROUND; number++) {
    const each = lot(number);
    const item = make('li', number < current.number ? 'past' : number === current.number ? 'now' : '');
    const picture = make('span', 'picture');
    picture.innerHTML = drawing(each.kind);
    picture.style.setProperty('--colour', colourOf(each.colour));
    const text = make('span', 'about');
    text.append(make('span', 'what', each.item), make('small', '', number < current.number
      ? `sold · $${each.bids[each.bids.length - 1].price}` : number === current.number ? 'on now' : `in ${Math.ceil((each.startsAt - now) / LOT_MS)} min`));
    item.append(picture, text);
    list.append(item);
  }
};

const drawBidding = (now) => {
  const { price, leader, count, isSold, leftMs } = biddingAt(now);
  put(byId('price'), `$${price}`);
  put(byId('leader'), isSold ? `sold to ${leader}` : count ? `${leader} is winning · ${count} ${count === 1 ? 'bid' : 'bids'}` : 'no bids yet');
  put(byId('sold'), isSold ? `SOLD to ${leader} · $${price}` : '');
  byId('clock').style.transform = `scaleX(${(leftMs / 52_000).toFixed(3)})`;
  byId('clock').classList.toggle('late', leftMs < 10_000);
  put(byId('viewers'), String(viewersAt(now)));
};

// --- the clock of it all

const CHAT_MS = 100;
let drawnAt = 0;
const tick = () => {
  const now = Date.now();
  // After a sleep only what a page that opens now would have.
  if (now - shownUntil > BACKLOG_MS) {
    chat.replaceChildren();
    shownUntil = now - BACKLOG_MS;
  }
  say(now);
  if (now - drawnAt >= 1000) {
    drawnAt = now;
    drawLot(now);
    drawBidding(now);
  }
  setTimeout(tick, CHAT_MS);
};
byId('say').addEventListener('submit', (event) => event.preventDefault());
tick();
