"use strict";

/* What the pages need beyond the theme: names for controls that have none, and a bridge from the widgets' MathJax 2
   call to the MathJax 3 of the page. Runs after MathJax and before the widgets are drawn. */
(() => {
  const bridgeMathJax = () => {
    const mathjax = window.MathJax;
    if (!mathjax || !mathjax.typesetPromise || mathjax.Hub) return;
    mathjax.Hub = {
      Queue: (...jobs) => {
        const elements = jobs.filter((job) => job[0] === "Typeset" && job[2]).map((job) => job[2]);
        if (elements.length) mathjax.typesetPromise(elements);
      },
    };
  };

  const text = (element) => (element ? element.textContent.trim().replace(/\s+/g, " ") : "");

  const setName = (element, name) => {
    if (name && element.getAttribute("aria-label") !== name) element.setAttribute("aria-label", name);
  };

  /* A slider is called what its visible label says. */
  const nameSliders = (root) => {
    for (const widget of root.querySelectorAll(".widget-inline-hbox")) {
      const label = widget.querySelector(".widget-label");
      const name = text(label);
      if (label && label.getAttribute("title") === "null") label.removeAttribute("title");
      for (const handle of widget.querySelectorAll(".noUi-handle")) setName(handle, name);
      for (const readout of widget.querySelectorAll(".widget-readout[contenteditable]")) {
        readout.setAttribute("role", "textbox");
        setName(readout, name && `${name}, value`);
      }
    }
  };

  /* jupyterquiz: a number field is called what its question asks; feedback is announced. */
  const nameQuizzes = (root) => {
    for (const quiz of root.querySelectorAll(".Quiz")) {
      const question = text(quiz.querySelector("div[id^='qDiv'], .QuizQn, :scope > div > div"));
      quiz.setAttribute("role", "group");
      setName(quiz, question || "Question");
      for (const input of quiz.querySelectorAll("input.Input-text")) setName(input, question || "Your answer");
      // Only divs: answers have random ids, and a label whose id happens to begin with "fb" must stay a label.
      for (const feedback of quiz.querySelectorAll(".Feedback, div[id^='fb']")) feedback.setAttribute("role", "status");
    }
  };

  /* What scrolls sideways in its own box can be reached and scrolled by keyboard. */
  const SCROLLERS =
    "div.math, mjx-container[display='true'], .course-table, .pst-scrollable-table-container, .bd-content pre, div.cell_output .output";
  const sizes = new ResizeObserver(() => tidySoon());
  const reachScrollers = () => {
    for (const box of document.querySelectorAll(SCROLLERS)) {
      sizes.observe(box);
      const scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
      if (scrolls && !box.hasAttribute("tabindex")) {
        box.setAttribute("tabindex", "0");
        box.dataset.courseScroller = "";
      } else if (!scrolls && "courseScroller" in box.dataset) {
        box.removeAttribute("tabindex");
        delete box.dataset.courseScroller;
      }
    }
  };

  /* The theme leaves the logo outside every landmark and the search buttons without a name. */
  const nameTheme = () => {
    const logo = document.querySelector(".sidebar-primary-item .navbar-brand");
    if (logo) {
      logo.parentElement.setAttribute("role", "region");
      setName(logo.parentElement, "Title");
    }
    for (const button of document.querySelectorAll("button.search-button, button.search-button-field")) {
      setName(button, "Search");
    }
  };

  /* A bibliography is marked as a list whose entries are none: let it be a plain group. */
  const mendLists = () => {
    for (const list of document.querySelectorAll(".citation-list[role='list']")) list.removeAttribute("role");
  };

  /* A prediction holds back the next result: the outputs that follow, one after another, and the text that reads them,
     up to the next code or section. Code, and text before the first output, stay. An answer, right or wrong, or the
     button gives it free. */
  const holdBack = (cell) => {
    const held = [];
    let shown = false;
    let read = false;
    for (let next = cell.nextElementSibling; next; next = next.nextElementSibling) {
      if (next.matches("section, .tag_predict, .tag_check")) break;
      if (next.matches("div.cell")) {
        if (read && !next.matches(".tag_checks")) break;
        const output = next.querySelector(".cell_output");
        if (next.matches(".tag_checks") && shown) held.push(next);
        else if (output && !next.matches(".tag_hide-cell")) {
          held.push(output);
          shown = true;
        }
      } else if (shown) {
        held.push(next);
        read = true;
      }
    }
    if (!held.length) return;
    const decline = document.createElement("button");
    decline.type = "button";
    decline.className = "course-decline";
    decline.textContent = "Show the result without a guess";
    const giveFree = () => {
      answered.disconnect();
      for (const element of held) element.classList.remove("course-waits");
      decline.remove();
      window.dispatchEvent(new Event("resize"));
    };
    const answered = new MutationObserver(() => {
      if (text(cell.querySelector(".Feedback"))) giveFree();
    });
    for (const element of held) element.classList.add("course-waits");
    cell.append(decline);
    answered.observe(cell, { childList: true, subtree: true, characterData: true });
    decline.addEventListener("click", giveFree);
    // A link into what is held back asks for it.
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && held.some((element) => element.contains(target))) giveFree();
  };

  /* Terms of the glossary: a card with the definition opens under the pointer, on focus and by a first tap. It stays
     while the pointer is on the word or on the card, and Escape closes it. */
  const explainTerms = () => {
    const terms = document.querySelectorAll("a.course-term");
    if (!terms.length) return;
    const card = document.createElement("div");
    card.id = "course-card";
    card.className = "course-card";
    card.setAttribute("role", "tooltip");
    card.hidden = true;
    (document.querySelector("main article") || document.querySelector("main") || document.body).append(card);

    let open = null;
    let timer = 0;
    const close = () => {
      clearTimeout(timer);
      if (open) open.removeAttribute("aria-describedby");
      open = null;
      card.hidden = true;
    };
    const closeSoon = () => {
      clearTimeout(timer);
      timer = setTimeout(close, 300);
    };
    const line = (kind, content) => {
      const part = document.createElement("span");
      part.className = `course-card-${kind}`;
      part.textContent = content;
      return part;
    };
    const place = (term) => {
      const word = term.getClientRects()[0] || term.getBoundingClientRect();
      const ground = card.offsetParent || document.documentElement;
      const origin = ground.getBoundingClientRect();
      const wide = document.documentElement.clientWidth;
      const left = Math.max(8, Math.min(word.left, wide - card.offsetWidth - 8));
      const below = word.bottom + card.offsetHeight + 12 < window.innerHeight;
      const top = below || word.top < card.offsetHeight + 80 ? word.bottom + 4 : word.top - card.offsetHeight - 4;
      card.style.left = `${left - origin.left + ground.scrollLeft}px`;
      card.style.top = `${top - origin.top + ground.scrollTop}px`;
    };
    const show = (term) => {
      clearTimeout(timer);
      if (open === term) return;
      close();
      const hungarian = line("hungarian", term.dataset.hungarian);
      hungarian.lang = "hu";
      const hint = line("hint", "Tap the word again to open the glossary.");
      card.replaceChildren(
        line("term", term.dataset.term), " ", hungarian, " ", line("text", term.dataset.definition), " ", hint);
      card.hidden = false;
      term.setAttribute("aria-describedby", card.id);
      open = term;
      place(term);
    };

    const byTouch = (event) => event.pointerType === "touch";
    for (const term of terms) {
      let first = false; // this tap opens the card; the next one follows the link
      term.addEventListener("pointerenter", (event) => byTouch(event) || show(term));
      term.addEventListener("pointerleave", (event) => byTouch(event) || closeSoon());
      term.addEventListener("focus", () => show(term));
      term.addEventListener("blur", closeSoon);
      term.addEventListener("pointerdown", (event) => {
        first = byTouch(event) && open !== term;
      });
      term.addEventListener("click", (event) => {
        if (first) {
          event.preventDefault();
          show(term);
        }
        first = false;
      });
    }
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    card.addEventListener("pointerleave", (event) => byTouch(event) || closeSoon());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
    document.addEventListener("pointerdown", (event) => {
      if (open && !card.contains(event.target) && !open.contains(event.target)) close();
    });
    window.addEventListener("resize", close);
  };

  let waiting = false;
  const tidy = () => {
    waiting = false;
    nameSliders(document);
    nameQuizzes(document);
    reachScrollers();
  };
  const tidySoon = () => {
    if (!waiting) {
      waiting = true;
      setTimeout(tidy, 50);
    }
  };

  bridgeMathJax();
  document.addEventListener("DOMContentLoaded", () => {
    bridgeMathJax();
    nameTheme();
    mendLists();
    document.querySelectorAll("div.cell.tag_predict").forEach(holdBack);
    explainTerms();
    tidy();
    const main = document.querySelector("main") || document.body;
    new MutationObserver(tidySoon).observe(main, { childList: true, subtree: true, characterData: true });
  });
  window.addEventListener("load", tidySoon);
  window.addEventListener("resize", tidySoon);
})();
