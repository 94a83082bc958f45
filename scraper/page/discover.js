// scraper/page/discover.js - lists the shows that an index page links to. Its value is a JSON text:
// [{"url","title","host","viewers"}, ...] in the page's order, one entry a show, title and host "" and
// viewers null where the card does not tell. count.js comes before it. Reads only.
const MAX_SHOWS = 500;

const select = (root, selectors) => {
  for (const selector of selectors) {
    try {
      for (const element of root.querySelectorAll(selector)) {
        if (element.textContent.trim() !== '') return element;
      }
    } catch { /* an operator's selector may be invalid: the next one counts */ }
  }
  return null;
};

// Texts of a card in their order, outermost element that holds nothing but text first.
const leaves = (root, out = []) => {
  for (const child of root.childNodes) {
    if (child.nodeType === 3 && child.data.trim() !== '') out.push({ text: child.data.trim(), of: child.parentElement });
    else if (child.nodeType === 1 && out.length < 50) leaves(child, out);
  }
  return out;
};

const readCard = (card) => {
  const badge = select(card, rules.viewer_selectors);
  const texts = leaves(card);
  let viewers = badge ? readCount(badge.textContent) : null;
  if (viewers === null) {
    const count = texts.find((t) => /^\D{0,12}?[\d.,]+\s*[km]?$/i.test(t.text));
    viewers = count ? readCount(count.text) : null;
  }
  const words = texts.filter((t) => !(badge && badge.contains(t.of)) && !/^(live|[\d.,]+\s*[km]?)$/i.test(t.text));
  const heading = card.querySelector('h1, h2, h3, h4, [role="heading"]');
  const title = heading ? heading.textContent.trim() : '';
  const host = words.find((t) => t.text !== title && /^@?[^\s]{1,60}$/.test(t.text));
  const rest = words.filter((t) => t !== host).map((t) => t.text);
  return {
    title: title || rest.sort((a, b) => b.length - a.length)[0] || '',
    host: host ? host.text.replace(/^@/, '') : '',
    viewers,
  };
};

const shows = new Map();
const isShow = new RegExp(rules.show_link);
for (const link of document.querySelectorAll('a[href]')) {
  const url = new URL(link.href, location.href);
  const id = isShow.exec(url.pathname)?.[1];
  if (id === undefined || url.origin !== location.origin || (!shows.has(id) && shows.size >= MAX_SHOWS)) continue;
  const card = readCard(link);
  const known = shows.get(id);
  // One card often has several links to its show: each may tell a part.
  if (!known) {
    shows.set(id, { url: url.origin + url.pathname, ...card });
  } else {
    for (const key of ['title', 'host', 'viewers']) known[key] ||= card[key];
  }
}
return JSON.stringify([...shows.values()]);
