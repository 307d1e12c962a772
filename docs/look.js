// Runs in a page that look.py has opened, and returns what is wrong there.
(phone) => {
  const text = ":is(.bd-article, .rqvae-report)";
  const found = [], seen = (e) => e.getClientRects().length > 0;
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + " '" +
    (e.innerText || e.alt || "").trim().slice(0, 40).replace(/\s+/g, " ") + "'";
  if (document.documentElement.scrollWidth > innerWidth + 1)
    found.push(`scrolls sideways: ${document.documentElement.scrollWidth} px`);
  const bar = document.querySelector(".bd-header");
  if (bar && bar.offsetHeight > 80) found.push(`top bar in several rows: ${bar.offsetHeight} px`);
  const cut = [...document.querySelectorAll(".bd-sidebar-secondary a")].find(
    (e) => seen(e) && e.getBoundingClientRect().right > innerWidth + 1);
  if (cut && !phone) found.push(`cut at the window's edge: ${name(cut)}`);
  for (const e of document.images)
    if (!e.complete || !e.naturalWidth) found.push(`image doesn't load: ${e.getAttribute("src").slice(0, 80)}`);
  for (const e of document.querySelectorAll(`${text} :is(table, img)`)) {
    if (!seen(e)) continue;
    let box = e.scrollWidth > e.clientWidth + 1 ? e : e.parentElement;
    while (!box.matches(text) && getComputedStyle(box).overflowX === "visible") box = box.parentElement;
    const room = Math.round(box.getBoundingClientRect().right - e.getBoundingClientRect().left);
    const need = box === e ? e.scrollWidth : e.offsetWidth;
    const scrolls = /auto|scroll/.test(getComputedStyle(box).overflowX);
    if (need > room + 1 && !(phone && scrolls)) found.push(`${e.matches("img") ? "picture" : "table"} cut: ${room} of ${need} px, ${name(e)}`);
  }
  const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 :
    ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0.9) return c;
    }
    return [255, 255, 255];
  };
  for (const e of document.querySelectorAll(`${text} :is(p, td, th, li, a, code, h1, h2, h3, dt, span)`)) {
    if (!seen(e) || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const ink = light(parse(getComputedStyle(e).color)), back = light(ground(e));
    const contrast = (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05);
    if (!e.closest("svg, .headerlink, button") && contrast < 2.5) {
      found.push(`hardly legible, contrast ${contrast.toFixed(1)}: ${name(e)}`);
      break;
    }
  }
  return found;
}
