"use strict";
// Copies what a button names; without the clipboard's permission the text is selected, to be copied by hand.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (!document.execCommand("copy")) return;
    }
    const label = button.firstElementChild;
    label.textContent = button.dataset.done;
    setTimeout(() => { label.textContent = button.dataset.label; }, 2000);
  });
}
// A link to something that is folded away unfolds it.
const unfold = () => {
  let part = document.getElementById(location.hash.slice(1));
  for (; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
};
addEventListener("hashchange", unfold);
unfold();
