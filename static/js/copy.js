// <button data-copy="text"> or <button data-copy-from="#id">: copies and says so for two seconds.
const SAID_MS = 2000;

export function startCopyButtons() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const source = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
    const text = source ? source.textContent.trim() : button.dataset.copy;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      selectText(source);
      return;
    }
    button.textContent = button.dataset.copied || "✓";
    setTimeout(() => (button.textContent = label), SAID_MS);
  });
}

// Without the clipboard (plain http on another host) the text is marked, ready for Ctrl-C.
function selectText(element) {
  if (element) getSelection().selectAllChildren(element);
}
