// How a test looks at a page: at the topmost dialog if one is open, and only at what is drawn.
(() => {
  const top = [...document.querySelectorAll('dialog[open]')].pop() ?? document.body;
  const tidy = (text) => (text ?? '').replace(/\s+/g, ' ').trim();
  const drawn = (element) => !!element?.getClientRects().length && element.checkVisibility({ visibilityProperty: true });
  const label = (element) =>
    element?.labels?.length ? tidy(element.labels[0].innerText) : tidy(element?.getAttribute?.('aria-label'));
  const by = (element) => tidy(document.getElementById(element?.getAttribute?.('aria-labelledby'))?.innerText);
  const name = (element) => label(element) || by(element) || tidy(element?.innerText);
  const first = (selector, wanted) =>
    [...top.querySelectorAll(selector)].find((element) => drawn(element) && name(element) === wanted) ?? null;
  return {
    drawn,
    name,
    text: () => tidy(top.innerText),
    all: () => tidy(document.body.innerText),
    heading: () => tidy((document.querySelector('dialog[open]') ? top : document.querySelector('.standalone'))?.querySelector('h2')?.innerText),
    control: (wanted) => first('a, button, summary, input[type=checkbox], input[type=radio]', wanted),
    field: (wanted) => first('input, textarea', wanted),
  };
})()
