// What can be wrong with a page as a reader sees it. Each detector gives a list of sentences, empty when all is well.
(() => {
  const near = 1.5;  // pixels that fonts and rounding may differ by
  const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true });
  const short = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);

  // Corners of a box, turned with its text where it is turned.
  function corners(element) {
    const box = element.getBBox(), to = element.getScreenCTM();
    return [[box.x, box.y], [box.x + box.width, box.y], [box.x + box.width, box.y + box.height], [box.x, box.y + box.height]]
      .map(([x, y]) => [to.a * x + to.c * y + to.e, to.b * x + to.d * y + to.f]);
  }
  const upright = (r) => [[r.left, r.top], [r.right, r.top], [r.right, r.bottom], [r.left, r.bottom]];

  function texts() {
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const parent = node.parentElement;
      if (!node.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(parent.tagName) || !shown(parent)) continue;
      const drawn = parent.closest("text");
      if (drawn) {
        if (drawn.firstChild === node || drawn.firstElementChild === parent) found.push({ text: drawn.textContent, shape: corners(drawn), element: drawn });
        continue;
      }
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const r of range.getClientRects()) {
        if (r.width > 1 && r.height > 1) found.push({ text: node.data, shape: upright(r), element: parent });
      }
    }
    return found;
  }

  // Two convex shapes overlap when no edge of either keeps them apart (by more than `near`).
  function apart(a, b) {
    for (const [one, other] of [[a, b], [b, a]]) {
      for (let i = 0; i < one.length; i++) {
        const [x1, y1] = one[i], [x2, y2] = one[(i + 1) % one.length];
        const length = Math.hypot(x2 - x1, y2 - y1) || 1, nx = (y2 - y1) / length, ny = (x1 - x2) / length;
        const along = (p) => p[0] * nx + p[1] * ny;
        const mine = one.map(along), theirs = other.map(along);
        if (Math.min(...theirs) > Math.max(...mine) - near || Math.min(...mine) > Math.max(...theirs) - near) return true;
      }
    }
    return false;
  }

  function overlap() {
    const found = [];
    const all = texts().map((t) => ({ ...t, top: Math.min(...t.shape.map((p) => p[1])), bottom: Math.max(...t.shape.map((p) => p[1])) }))
      .sort((a, b) => a.top - b.top);
    for (let i = 0; i < all.length; i++) {
      for (let j = i + 1; j < all.length && all[j].top < all[i].bottom; j++) {
        if (all[i].element !== all[j].element && !apart(all[i].shape, all[j].shape)) {
          found.push(`"${short(all[i].text)}" and "${short(all[j].text)}" overlap`);
        }
      }
    }
    return found;
  }

  function clipped() {
    const found = [];
    for (const e of document.body.querySelectorAll("*")) {
      const style = getComputedStyle(e);
      if (!(e instanceof HTMLElement) || !shown(e) || !e.textContent.trim()) continue;
      const x = ["hidden", "clip"].includes(style.overflowX) && e.scrollWidth > e.clientWidth + near;
      const y = ["hidden", "clip"].includes(style.overflowY) && e.scrollHeight > e.clientHeight + near;
      if (x || y) found.push(`"${short(e.textContent)}" is cut off`);
    }
    for (const { text, shape, element } of texts()) {
      const svg = element.closest("svg");
      if (!svg) continue;
      const box = svg.getBoundingClientRect();
      if (/…$/.test(text)) found.push(`"${short(text)}" is shortened`);
      if (shape.some(([x, y]) => x < box.left - near || x > box.right + near || y < box.top - near || y > box.bottom + near)) {
        found.push(`"${short(text)}" leaves its picture`);
      }
    }
    return found;
  }

  function empty() {
    return [...document.querySelectorAll(".chart")].filter((chart) => {
      const marks = chart.querySelectorAll("svg g.role-mark path, svg g.role-mark line, svg g.role-mark text, canvas");
      return ![...marks].some((m) => { const r = m.getBoundingClientRect(); return r.width + r.height > 1; });
    }).map((chart) => `${chart.id || "a picture"} shows nothing`);
  }

  function sideways() {
    const width = document.documentElement.clientWidth;
    const wide = document.documentElement.scrollWidth;
    return wide > width + near ? [`the page is ${wide} px wide in a window of ${width} px`] : [];
  }

  // On paper nothing scrolls: what is wider than the page is lost.
  function cut() {
    const width = document.documentElement.clientWidth;
    return [...document.querySelectorAll("table, .chart, .chart svg")].filter((e) => shown(e) && e.getBoundingClientRect().right > width + near)
      .map((e) => `${e.closest("section")?.id ?? e.tagName}: ${Math.round(e.getBoundingClientRect().right)} px of ${width} px`);
  }

  // Folded parts must lie open on paper.
  function folded() {
    return [...document.querySelectorAll("details")].filter((d) => [...d.children].some((c) => c.tagName !== "SUMMARY" && !shown(c)))
      .map((d) => `${d.closest("section")?.id ?? "a part"} is folded away`);
  }

  function unnamed() {
    return [...document.querySelectorAll("table, .chart")].filter((e) => {
      const by = document.getElementById(e.getAttribute("aria-labelledby"));
      return !(e.getAttribute("aria-label") || by?.textContent.trim());
    }).map((e) => `a ${e.tagName} has no name`);
  }

  function dangling() {
    return [...document.querySelectorAll("a[href]")].filter((a) => {
      const to = a.getAttribute("href");
      return !to.startsWith("#") || !document.getElementById(to.slice(1));
    }).map((a) => `the link "${short(a.textContent)}" leads nowhere (${a.getAttribute("href")})`);
  }

  return { overlap, clipped, empty, sideways, cut, folded, unnamed, dangling };
})()
