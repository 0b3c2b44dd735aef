// Small things that need the reader's own screen or address; everything else is static.
(() => {
  // A page opened from a folder cannot fetch its neighbours, so search shows titles only.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // The page's security policy allows no script in attributes, such as the theme's on this button.
  document.addEventListener("click", ({ target }) => {
    if (target.closest?.(".btn-download-pdf-button")) print();
  });

  // The twin page in the other language has the same headings in the same order. Take the reader
  // to the same place: the heading's number, and how far past it, in parts of the way to the next.
  const headings = () => [...document.querySelectorAll(".bd-article :is(h1, h2, h3, h4)")];
  const top = (element) => element.getBoundingClientRect().top + scrollY;
  const places = () => [...headings().map(top), document.documentElement.scrollHeight];
  const aside = 90; // px under the sticky header where reading begins
  document.addEventListener("click", ({ target }) => {
    const link = target.closest?.("a.language-switch");
    if (!link) return;
    const at = places();
    const number = at.findLastIndex((y) => y <= scrollY + aside);
    link.hash = "";
    if (scrollY < 4 || number < 0) return;
    const past = (scrollY + aside - at[number]) / (at[number + 1] - at[number] || 1);
    link.hash = `place=${(number + Math.min(past, 0.999)).toFixed(3)}`;
  });
  const [, place] = location.hash.match(/^#place=(\d+\.\d+)$/) ?? [];
  if (place !== undefined) {
    const go = () => {
      const at = places();
      const number = Math.min(Math.floor(place), at.length - 2);
      const y = at[number] + (place - Math.floor(place)) * (at[number + 1] - at[number]) - aside;
      scrollTo({ top: y, behavior: "instant" });
    };
    history.replaceState(null, "", location.pathname + location.search);
    // Figures that wake up push the text down: hold the place until the reader moves.
    const hold = new ResizeObserver(go);
    const release = () => hold.disconnect();
    addEventListener("load", () => {
      hold.observe(document.body);
      setTimeout(release, 3000);
    });
    for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(kind, release);
  }

  // A box that scrolls must be reachable with the keyboard; one that does not should not be.
  const boxes =
    ".pst-scrollable-table-container, .math-display, .drawing-box, .output.text_html, " +
    ".picture-box, .highlight pre, .cell_output pre, .cell_output .output";
  // A screen reader says its name when the focus gets there.
  const kinds = [
    [".math-display", "Formula", "公式"],
    [":has(table)", "Table", "表格"],
    [":has(img, svg)", "Figure", "图"],
    [".highlight pre", "Code", "代码"],
    ["*", "Output", "输出"],
  ];
  const chinese = document.documentElement.lang.startsWith("zh");
  const nameOf = (box) => kinds.find(([kind]) => box.matches(kind))[chinese ? 2 : 1];
  const mark = () => {
    for (const box of document.querySelectorAll(boxes)) {
      const tall = box.scrollHeight > box.clientHeight + 1 && getComputedStyle(box).overflowY !== "hidden";
      if (tall || box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", nameOf(box));
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    }
  };
  addEventListener("load", () => {
    mark();
    const changed = new ResizeObserver(mark); // pictures that load late, figures that wake
    for (const box of document.querySelectorAll(boxes)) {
      changed.observe(box);
      for (const inner of box.children) changed.observe(inner);
    }
  });
  document.addEventListener("toggle", mark, true);
})();
