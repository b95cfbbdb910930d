"use strict";
// Searches while one types and sorts without a jump: fetches the same page and takes its table.
(() => {
  const form = document.querySelector("form");
  const text = form.elements.q;
  let asked = 0;
  let waiting = 0;

  const show = async (address) => {
    const mine = ++asked;
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine !== asked) return; // a later question is under way
      for (const id of ["listing", "tiles"]) {
        document.getElementById(id).replaceWith(document.importNode(fresh.getElementById(id), true));
      }
      history.replaceState(null, "", address);
    } catch {
      if (mine === asked) location.assign(address); // the browser says what is wrong
    }
  };

  const ask = () => {
    clearTimeout(waiting);
    const wanted = new URLSearchParams(new FormData(form));
    for (const [key, value] of [...wanted]) if (!value) wanted.delete(key);
    show("?" + wanted);
  };

  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  form.addEventListener("change", (event) => { if (event.target !== text) ask(); });
  text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(ask, 200); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-here]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const wanted = new URL(link.href).searchParams;
    form.elements.state.value = wanted.get("state") || "";
    form.elements.sort.value = wanted.get("sort") || "name";
    if (form.elements.sort.selectedIndex < 0) {
      form.elements.sort.add(new Option(link.textContent, wanted.get("sort"), false, true));
    }
    show("?" + wanted);
    if (wanted.has("page")) document.getElementById("clients").scrollIntoView();
  });
})();
