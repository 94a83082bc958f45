// scraper/page/count.js - numbers as pages show them to people.

// "1.2K" is 1200, "1,963" is 1963, "799 viewers" is 799; null for anything else.
const readCount = (text) => {
  const found = /^\D{0,12}?(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)\s*([KkMm]?)(?![\w:/])/.exec(text.trim());
  if (!found) return null;
  return Math.round(Number(found[1].replaceAll(',', '')) * ({ k: 1e3, m: 1e6 }[found[2].toLowerCase()] ?? 1));
};
