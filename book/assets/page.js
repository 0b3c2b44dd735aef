// Two small repairs that need the reader's own screen or address; everything else is static.
(() => {
  // A page opened from a folder cannot fetch its neighbours, so search shows titles only.
  if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // A box that scrolls must be reachable with the keyboard; one that does not should not be.
  const boxes =
    ".pst-scrollable-table-container, .math-display, .drawing-box, .output.text_html, " +
    ".picture-box, .highlight pre, .cell_output pre, .cell_output .output";
  const mark = () => {
    for (const box of document.querySelectorAll(boxes)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", mark);
  addEventListener("resize", mark);
  document.addEventListener("toggle", mark, true);
})();
