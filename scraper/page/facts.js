// scraper/page/facts.js - what a page tells beside its chat: title, host, viewers, whether the show is
// over, and how its text begins (walls are recognised by it).
const compileEach = (selectors) => selectors.map((selector) => joinSelectors([selector]));
const TITLE = compileEach(rules.title_selectors), HOST = compileEach(rules.host_selectors), VIEWERS = compileEach(rules.viewer_selectors);
const ENDED = joinSelectors(rules.ended_selectors);
const ENDED_TEXTS = new Set(rules.ended_texts.map((text) => text.toLowerCase()));
const SHOW_LINK = compilePattern(rules.show_link);
const TEXT_CHARS = 400;

// The first element in the order of the selectors that is no part of the chat or of a card that leads
// to another show, and of which `read` makes something.
const firstOf = (selectors, container, read) => {
  for (const selector of selectors) {
    for (const element of document.querySelectorAll(selector)) {
      const link = element.closest('a[href]');
      if ((link && SHOW_LINK.test(link.pathname)) || container?.contains(element)) continue;
      const value = read(element);
      if (value) return value;
    }
  }
  return null;
};

const hasEnded = (container) => {
  if (document.querySelector(ENDED)) return true;
  return [...document.querySelectorAll('h1, h2, h3, h4, [role="heading"]')].some((heading) =>
    ENDED_TEXTS.has(collapse(heading.textContent).toLowerCase()) && !container?.contains(heading));
};

const firstText = () => {
  let text = '';
  const walker = document.createTreeWalker(document.body ?? document, NodeFilter.SHOW_TEXT);
  while (text.length < TEXT_CHARS && walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (!isBlank(data) && !parentElement?.closest('script, style, noscript, template')) text += `${collapse(data)} `;
  }
  return text.slice(0, TEXT_CHARS);
};

const readViewers = (container) => firstOf(VIEWERS, container, (element) => readCount(element.textContent));

const readFacts = (container) => ({
  t: 'facts',
  title: (firstOf(TITLE, container, (element) => collapse(element.textContent)) ?? collapse(document.title)).slice(0, 200),
  host: (firstOf(HOST, container, linkedUser) ?? '').slice(0, 100),
  viewers: readViewers(container),
  ended: hasEnded(container),
  text: firstText(),
});
