'use strict';
// Further ways to draw the chat, for servers started with --variants. Each is a layout that a strategy
// or a comparison of rows has to survive without knowing it; ../README.md has the others.
(() => {
  const FS = window.FS = window.FS || {};
  FS.variants = FS.variants || {};
  const make = (tag, attributes = {}, ...kids) => {
    const element = document.createElement(tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    element.append(...kids);
    return element;
  };
  const initials = (name) => name.slice(0, 2).toUpperCase();

  // A list that appends at its end and drops what is over the cap at its beginning. `draw` makes a row,
  // `host` gives the element that takes the rows, `first` puts new ones first.
  const simple = ({ draw, host, first = false }) => (root, opts) => {
    let list, kept = [];
    const insert = (message) => {
      const row = draw(message);
      if (first) list.prepend(row); else list.append(row);
      if (!message.seen) { message.seen = 1; opts.shown(message.id); }
    };
    const mount = () => {
      root.replaceChildren();
      list = host(root);
      kept.forEach(insert);
    };
    mount();
    return {
      add: (message) => {
        kept.push(message);
        while (kept.length > opts.cap()) {
          kept.shift();
          (first ? list.lastElementChild : list.firstElementChild)?.remove();
        }
        insert(message);
      },
      rerender: mount,
      destroy: () => root.replaceChildren(),
    };
  };
  const plainHost = (root) => {
    const list = make('div', { style: 'height:430px;overflow-y:auto' });
    root.append(make('section', {}, list));
    return list;
  };

  // No test ids, no roles, no links, no strong: avatar initials, name and text in bare elements.
  const bareRow = (m) => make('div', {}, make('span', {}, initials(m.user.username)),
    make('div', {}, make('span', {}, m.user.username), m.badge ? make('span', {}, m.badge) : '', make('div', {}, m.message)));
  FS.variants.bare = simple({ draw: bareRow, host: plainHost });

  // "name: text" in one text node.
  FS.variants.textnode = simple({ draw: (m) => make('div', {}, `${m.user.username}: ${m.message}`), host: plainHost });

  // Newest first, anonymous rows.
  FS.variants.newest = simple({ draw: bareRow, host: plainHost, first: true });

  // The list in an open shadow root; each row has one of its own, too.
  const shadowHost = (root) => {
    const host = make('chat-list');
    root.append(host);
    const list = make('div', { style: 'height:430px;overflow-y:auto' });
    host.attachShadow({ mode: 'open' }).append(make('div', {}, list));
    return list;
  };
  const shadowRow = (m) => {
    const row = make('chat-row');
    row.attachShadow({ mode: 'open' }).append(make('b', {}, m.user.username), make('slot', { name: 'badge' }), make('p', {}, m.message));
    if (m.badge) row.append(make('i', { slot: 'badge' }, m.badge));
    return row;
  };
  FS.variants.shadow = simple({ draw: shadowRow, host: shadowHost });

  // In a frame of the same origin, rows that link to their author.
  const frameHost = (root) => {
    const frame = make('iframe', { style: 'width:100%;height:430px' });
    root.append(frame);
    const list = frame.contentDocument.createElement('ul');
    frame.contentDocument.body.append(list);
    return list;
  };
  const linkRow = (m) => make('li', {}, make('a', { href: `${location.origin}/de-DE/user/${encodeURIComponent(m.user.username)}` },
    make('em', {}, initials(m.user.username)), make('span', {}, m.user.username)), m.badge ? make('span', { class: 'badge' }, m.badge) : '', make('span', {}, m.message));
  FS.variants.frame = simple({ draw: linkRow, host: frameHost });

  // Drawn bottom up: the first child is the lowest row and the newest.
  FS.variants.reverse = simple({
    draw: (m) => make('article', {}, make('h6', {}, m.user.username), make('p', {}, m.message), make('time', {}, '12:30')),
    host: (root) => {
      const list = make('div', { style: 'height:430px;overflow-y:auto;display:flex;flex-direction:column-reverse' });
      root.append(list);
      return list;
    },
    first: true,
  });

  // In groups of five, each with a heading of its own.
  FS.variants.grouped = (root, opts) => {
    let kept = [], list;
    const mount = () => {
      list = make('div', { style: 'height:430px;overflow-y:auto' });
      root.replaceChildren(list);
    };
    const insert = (m) => {
      let group = list.lastElementChild;
      if (!group || group.children.length > 5) {
        group = make('div', { class: 'group' }, make('h5', {}, 'Today'));
        list.append(group);
      }
      group.append(bareRow(m));
      if (!m.seen) { m.seen = 1; opts.shown(m.id); }
    };
    mount();
    return {
      add: (m) => {
        kept.push(m);
        insert(m);
        if (list.children.length * 5 > opts.cap()) {
          list.firstElementChild.remove();
          kept = kept.slice(5);
        }
      },
      rerender: () => { mount(); kept.forEach(insert); },
      destroy: () => list.remove(),
    };
  };

  // A table with a column for the time.
  FS.variants.table = simple({
    draw: (m) => make('tr', {}, make('td', {}, '12:30'), make('td', {}, m.user.username), make('td', {}, m.message)),
    host: (root) => {
      const body = make('tbody');
      root.append(make('div', { style: 'height:430px;overflow-y:auto' }, make('table', {}, body)));
      return body;
    },
  });

  // A ring of rows placed by their style: the oldest is rewritten where it stands.
  FS.variants.ring = (root, opts) => {
    const rows = [], kept = [];
    const list = make('div', { style: 'position:relative;height:430px' });
    let count = 0;
    root.replaceChildren(list);
    const size = () => Math.min(opts.cap(), 12);
    const write = (row, m) => row.replaceChildren(make('div', {}, m.user.username), make('div', {}, m.message));
    const add = (m) => {
      kept.push(m);
      const slot = count++ % size();
      if (!rows[slot]) {
        rows[slot] = make('div', { style: 'position:absolute;left:0' });
        list.append(rows[slot]);
      }
      write(rows[slot], m);
      for (const [i, row] of rows.entries()) row.style.top = `${((((i - count) % size()) + size()) % size()) * 34}px`;
      if (!m.seen) { m.seen = 1; opts.shown(m.id); }
    };
    return { add, rerender: () => {}, destroy: () => list.remove() };
  };

  // Keyed by the place in the list, not by the message: data-index and id mean nothing.
  FS.variants.places = (root, opts) => {
    let kept = [];
    const list = make('ul', { style: 'height:430px;overflow-y:auto' });
    root.replaceChildren(list);
    const paint = () => {
      kept = kept.slice(-opts.cap());
      while (list.children.length < kept.length) {
        const i = list.children.length;
        list.append(make('li', { 'data-index': i, id: `row-${i}` }, make('strong', {}, ''), make('span', {}, '')));
      }
      kept.forEach((m, i) => {
        const [name, text] = list.children[i].children;
        if (name.textContent !== m.user.username) name.textContent = m.user.username;
        if (text.textContent !== m.message) text.textContent = m.message;
        if (!m.seen) { m.seen = 1; opts.shown(m.id); }
      });
    };
    return { add: (m) => { kept.push(m); paint(); }, rerender: () => { list.replaceChildren(); paint(); }, destroy: () => list.remove() };
  };

  // Rows come empty and are filled a task later, name first; an empty anchor always ends the list.
  FS.variants.late = (root, opts) => {
    const list = make('div', { style: 'height:430px;overflow-y:auto' }), anchor = make('div');
    root.replaceChildren(list);
    list.append(anchor);
    return {
      add: (m) => {
        const row = make('div', { class: 'r' });
        anchor.before(row);
        while (list.children.length > opts.cap() + 1) list.firstElementChild.remove();
        setTimeout(() => {
          row.append(make('span', {}, m.user.username));
          setTimeout(() => {
            row.append(make('span', {}, m.message));
            if (!m.seen && row.isConnected) { m.seen = 1; opts.shown(m.id); }
          }, 4);
        }, 0);
      },
      rerender: () => {},
      destroy: () => list.remove(),
    };
  };
})();
