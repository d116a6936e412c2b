// Everything the browser does besides htmx. Without this file every link and form still works as a page.
(() => {
  'use strict';

  const $ = (selector, root = document) => root.querySelector(selector);
  const root = document.documentElement;
  // Of the section that this page belongs to.
  const { home } = document.body.dataset;

  // Null on the signed-out pages, which have no dialogs.
  const modal = $('#modal');
  const modalBody = $('#modal-body');
  const guard = $('#guard');
  // To Firefox an open dialog is itself a stop for Tab, which says and does nothing.
  for (const dialog of document.querySelectorAll('dialog')) dialog.tabIndex = -1;

  // Trusted Types: htmx alone may turn an answer into HTML, and scripts inside an answer are emptied.
  const policy = window.trustedTypes?.createPolicy('htmx', {
    createHTML: (html) => html,
    createScript: () => '',
  });
  window.htmx?.registerExtension('tt', { init: (api) => policy && api.initSecurity(policy) });
  // htmx would get round to it a moment after the page has loaded; who is quicker would be sent to a page of its own.
  window.htmx?.process(document.body);

  // ---- Telling people things ----

  let saying;
  const say = (text) => {
    const region = modal?.open ? $('#modal-live') : $('#live');
    region.textContent = '';
    clearTimeout(saying);
    // The same sentence twice in a row is only read aloud again if the region was empty in between.
    saying = setTimeout(() => (region.textContent = text), 50);
  };

  /** Empties the dialog's live region: a sentence left in it would be read aloud when the next dialog opens. */
  const hush = () => {
    clearTimeout(saying);
    $('#modal-live').textContent = '';
  };

  /** Shows a failure where the person is looking: in the pop-up if there is one, else as a toast. */
  const fail = (text, requestId) => {
    const body = $(modal.open ? '#modal .dialog-body' : '.standalone .dialog-body');
    $('[data-failure]')?.remove();
    const box = $(body ? '#alert-mold' : '#toast-mold').content.firstElementChild.cloneNode(true);
    const line = $('p', box);
    line.textContent = text;
    if (requestId) {
      const code = document.createElement('code');
      code.textContent = requestId;
      line.append(' Request ID: ', code);
    }
    if (body) body.prepend(box);
    else toasts.append(box);
    box.scrollIntoView({ block: 'nearest' });
  };

  // ---- The one dialog ----

  const secret = () => $('[data-secret]');
  const unsaved = () => secret()?.dataset.secret === 'unsaved';
  const saved = () => {
    if (secret()) secret().dataset.secret = 'saved';
  };

  // Empties the dialog in the same breath as it closes it: the key leaves the document, whatever closed it.
  const shut = () => {
    hush();
    modalBody.replaceChildren();
    modal.close();
  };
  let exit = home;
  const askToClose = () => (unsaved() ? guard.showModal() : shut());

  if (modal) {
    let opener = '';
    let pressed;

    document.addEventListener('htmx:before:request', ({ detail: { ctx } }) => {
      if (!modal.contains(ctx.sourceElement)) opener = ctx.request.submitter?.id;
    });

    // Also brings a dialog back that was closed while its form was on the way: the answer may carry a key.
    document.addEventListener('htmx:after:swap', ({ detail: { ctx } }) => {
      // Esc pressed three times closes a dialog in Chromium even when `cancel` is prevented; "none" is the only way out.
      modal.setAttribute('closedby', secret() ? 'none' : 'closerequest');
      if (!modal.open && $('#modal-title', modal)) modal.showModal();
      if (secret() && ctx.target === modalBody) modalBody.scrollTop = 0;
      // Chromium tells screen readers of the field that has the focus before it knows what describes it.
      const error = $('.field-error', modal);
      if (error) say(error.textContent.trim());
    });

    modal.addEventListener('cancel', (event) => {
      if (event.target !== modal || !secret()) return;
      event.preventDefault();
      askToClose();
    });
    modal.addEventListener('close', () => {
      // A browser without `closedby` closed it over our head.
      if (unsaved()) {
        modal.showModal();
        guard.showModal();
        return;
      }
      hush();
      modalBody.replaceChildren();
      // By id: refreshing the list has replaced the element, or taken it away for good.
      (document.getElementById(opener) ?? $('[data-focus-home]'))?.focus();
    });

    // The backdrop never closes. Both ends of the click count, so that selecting the key with the mouse is no attempt.
    modal.addEventListener('pointerdown', (event) => (pressed = event.target));
    modal.addEventListener('click', (event) => {
      if (event.target === modal && pressed === modal && unsaved()) guard.showModal();
    });

    document.addEventListener('modal:close', () => {
      if (modal.open && !secret()) shut();
    });
  }

  addEventListener('beforeunload', (event) => {
    if (unsaved()) event.preventDefault();
  });

  // A page kept for the back button must not keep the key.
  let wiped = false;
  addEventListener('pagehide', () => {
    wiped = !!secret();
    secret()?.remove();
  });
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted && wiped) location.replace(home);
    for (const form of document.querySelectorAll('form.htmx-request')) form.classList.remove('htmx-request');
  });

  // ---- Copying ----

  /** The way that needs no secure context: plain http on a LAN address has no navigator.clipboard. */
  const copySelection = (source) => {
    const mask = source.closest('[data-masked]');
    // What is masked cannot be selected.
    mask?.removeAttribute('data-masked');
    getSelection().selectAllChildren(source);
    if (!document.execCommand('copy')) return false;
    getSelection().removeAllRanges();
    mask?.setAttribute('data-masked', '');
    return true;
  };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      if (!copySelection(source)) {
        fail('Copy failed. The text is selected: press Ctrl+C or Command+C.');
        return;
      }
    }
    if ('saves' in button.dataset) saved();
    $('[data-failure]')?.remove();
    say(`${button.dataset.copyLabel} copied to clipboard.`);
    const text = $('[data-text]', button);
    const before = text?.textContent;
    if ('done' in button.dataset) return;
    button.dataset.done = '';
    if (text) text.textContent = 'Copied';
    setTimeout(() => {
      delete button.dataset.done;
      if (text) text.textContent = before;
    }, 2000);
  };

  // Somebody who copies the selected key by hand has saved it too.
  document.addEventListener('copy', () => {
    const text = $('#secret')?.textContent.trim();
    if (text && getSelection().toString().trim() === text) saved();
  });

  // ---- Downloading ----

  /** From a blob, whose address says nothing: browsers keep where a download came from in their history. */
  const download = ({ download: name, content }) => {
    const link = document.createElement('a');
    link.download = name;
    link.href = URL.createObjectURL(new Blob([content], { type: 'application/octet-stream' }));
    link.click();
    // Not at once: the browser reads it after this.
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  // ---- Clicks ----

  document.addEventListener('click', (event) => {
    const target = event.target.closest('button, a');
    if (!target) return;
    const { dataset } = target;
    if (dataset.copy) {
      copy(target);
    } else if (dataset.download) {
      download(dataset);
      saved();
    } else if ('close' in dataset) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      if (!modal.open && !unsaved()) return;
      event.preventDefault();
      exit = `${target.form.action}?${new URLSearchParams(new FormData(target.form))}`.replace(/\?$/, '');
      askToClose();
    } else if ('discard' in dataset) {
      guard.close();
      secret()?.remove();
      if (modal.open) shut();
      else location.href = exit;
    } else if ('mask' in dataset) {
      target.closest('.secret').toggleAttribute('data-masked');
    } else if ('dismiss' in dataset) {
      target.closest('[data-toast]').remove();
      ($('[data-focus-home]') ?? $('#main')).focus({ preventScroll: true });
    }
  });

  // Older browsers lack `command`, which opens and closes dialogs without a script.
  if (!('commandForElement' in HTMLButtonElement.prototype)) {
    document.addEventListener('click', (event) => {
      const button = event.target.closest('[commandfor]');
      const dialog = button && document.getElementById(button.getAttribute('commandfor'));
      if (dialog) button.getAttribute('command') === 'close' ? dialog.close() : dialog.showModal();
    });
  }

  // Plain forms (htmx looks after those in the dialog): a double click must not make the browser drop the first answer.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (modal?.contains(form) || form.matches('.opener, #close')) return;
    if (form.classList.contains('htmx-request')) event.preventDefault();
    form.classList.add('htmx-request');
    setTimeout(() => form.classList.remove('htmx-request'), 10000);
  });

  // ---- Toasts: eight seconds, longer while looked at; errors stay ----

  const toasts = $('#toast-live');
  const arm = (toast) => {
    if (toast.classList.contains('bad')) return;
    let timer;
    const stop = () => clearTimeout(timer);
    const start = () => {
      stop();
      timer = setTimeout(() => toast.remove(), 8000);
    };
    for (const name of ['pointerenter', 'focusin']) toast.addEventListener(name, stop);
    for (const name of ['pointerleave', 'focusout']) toast.addEventListener(name, start);
    start();
  };
  [...toasts.children].forEach(arm);
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) if (node.matches?.('[data-toast]')) arm(node);
    }
    while (toasts.childElementCount > 3) toasts.firstElementChild.remove();
  }).observe(toasts, { childList: true });

  // ---- Answers that are no answers ----

  const UNKNOWN = "We don't know whether this was saved. Reload the page to see.";

  // A redirect is shown and not followed: to htmx we send none, and a sign-on portal's leads to another site.
  document.addEventListener('htmx:before:request', ({ detail: { ctx } }) => (ctx.request.redirect = 'manual'));

  /** A question that asks itself where a change is true; whether it failed or not, the change is made. */
  const isAside = ({ sourceElement }) => {
    if (!('receipt' in sourceElement.dataset)) return false;
    sourceElement.textContent = "We can't tell right now where it is refused.";
    return true;
  };

  /** Somebody in between answered: a proxy that gave up, a firewall, a portal that wants a sign-in of its own. What became
   * of a form is not known then. What was only to be looked at is opened as a page, where they can be dealt with. */
  const disbelieve = (event) => {
    const { ctx } = event.detail;
    const { method, action } = ctx.request;
    event.preventDefault();
    // What it asks of htmx is not done either.
    ctx.hx = {};
    if (isAside(ctx)) return;
    if (method !== 'GET') {
      const status = ctx.response.status ? ` (${ctx.response.status})` : '';
      fail(`Something between you and this site answered in its place${status}. ${UNKNOWN}`);
      refocus(ctx);
    } else if (!secret()) location.href = action;
  };

  document.addEventListener('htmx:before:response', (event) => {
    if (!event.detail.ctx.response.headers.has('Keystead-Answer')) disbelieve(event);
  });

  // An answer that was cut short, or replaced behind our head: each of ours has an end.
  document.addEventListener('htmx:after:request', (event) => {
    const { response, text, hx } = event.detail.ctx;
    const isPage = text.includes('<main id="main"') && text.trimEnd().endsWith('</html>');
    const isWhole = isPage || text.includes('data-end') || response.status >= 500 || hx.redirect;
    if (!isWhole) disbelieve(event);
  });

  document.addEventListener('htmx:response:error', ({ detail: { ctx } }) => {
    const { status, headers } = ctx.response;
    if (isAside(ctx)) return;
    if (status >= 500) {
      const text =
        headers.get('Keystead-Answer') === 'unavailable'
          ? 'Something went wrong on our side and nothing was changed. Please try again.'
          : UNKNOWN;
      fail(text, headers.get('X-Request-Id'));
      refocus(ctx);
    } else if (status === 404 && modal.open && !secret()) {
      // The key this dialog is about is gone; the answer is a toast.
      shut();
    }
  });

  document.addEventListener('htmx:error', ({ detail: { ctx } }) => {
    if (!ctx || isAside(ctx)) return;
    fail(
      ctx.request.method === 'GET'
        ? "We couldn't reach the server. Check your connection and try again."
        : "We couldn't reach the server, so we don't know if your change was saved. " +
            'Reload the page to check before you try again.',
    );
    refocus(ctx);
  });

  // htmx disabled the pressed button for the length of the request, and the browser took the focus away from it.
  const refocus = ({ request }) => {
    setTimeout(() => {
      if (document.activeElement === document.body || document.activeElement === modal) request.submitter?.focus();
    });
  };

  // A whole page where a fragment was asked for: an error that has no fragment.
  document.addEventListener('htmx:before:swap', (event) => {
    const { ctx, tasks } = event.detail;
    for (const { fragment } of tasks) $('[data-end]', fragment)?.remove();
    const page = tasks.find(({ fragment }) => fragment.querySelector('#main'))?.fragment;
    if (!page) return;
    event.preventDefault();
    if (ctx.response.status < 500) fail($('.lead', page).textContent, ctx.response.headers.get('X-Request-Id'));
  });

  // ---- Keys ----

  // Reading or writing localStorage throws where a browser blocks it.
  const preference = (value) => {
    try {
      if (value) localStorage.shortcuts = value;
      return localStorage.shortcuts;
    } catch {
      return value;
    }
  };
  const shortcuts = $('#shortcuts-on');
  if (shortcuts) {
    shortcuts.checked = preference() !== 'off';
    shortcuts.addEventListener('change', () => preference(shortcuts.checked ? 'on' : 'off'));
  }

  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      root.dataset.tips = 'off';
      if (modal?.open && secret() && !guard.open) {
        event.preventDefault();
        if (!event.repeat) askToClose();
      }
    }
    if (!shortcuts?.checked || event.metaKey || event.ctrlKey || event.altKey || event.repeat) return;
    if ($('dialog[open]') || event.target.closest('input, textarea, select')) return;
    if (event.key === 'c') $('[data-shortcut="c"]')?.click();
    if (event.key === '?') $('[commandfor="help"]')?.click();
  });
  document.addEventListener('pointermove', () => delete root.dataset.tips, { passive: true });
})();
