// Excerpts of search results come from a page's text, not from its list of contents or its buttons.
if (typeof Search !== "undefined") {
  const textOf = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll(".bd-header-article, #jb-print-docs-body, .buttons").forEach((part) => part.remove());
    return textOf(page.documentElement.outerHTML, anchor);
  };
}
