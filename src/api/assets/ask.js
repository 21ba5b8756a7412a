// Sends a form of a page to the API as JSON. What was typed stays until it is done; what is refused is said beside the form.
const put = (body, name, value) => {
  const path = name.split(".");
  const last = path.pop();
  let place = body;
  for (const part of path) {
    place = place[part] ??= {};
  }
  place[last] = value;
};
// An empty field says nothing.
const said = (field) => field.name && field.value.trim() !== "" && (!["radio", "checkbox"].includes(field.type) || field.checked);
const valueOf = (field) => {
  if (field.dataset.is === "number") {
    return Number(field.value);
  }
  // A clock on the wall is local; what is sent is UTC.
  return field.type === "datetime-local" ? new Date(field.value).toISOString() : field.value.trim();
};
const bodyOf = (form, button) => {
  const body = {};
  for (const field of form.elements) {
    if (!said(field) || field.tagName === "BUTTON") {
      continue;
    }
    if (field.dataset.code) {
      (body.readings ??= []).push({ code: field.dataset.code, value: field.value.trim(), unit: field.dataset.unit });
    } else {
      // The words beside two buttons are what the pressed one takes them for.
      put(body, field.name === "words" ? button.dataset.words : field.name, valueOf(field));
    }
  }
  return body;
};
const keyOf = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
for (const form of document.querySelectorAll("form[data-ask]")) {
  // One key for one content: who presses twice, or tries again after the line was lost, does it once.
  let sent = { text: null, key: null };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button");
    const trouble = form.querySelector(".trouble");
    const path = button.getAttribute("formaction") ?? form.getAttribute("action");
    const text = JSON.stringify(bodyOf(form, button));
    if (sent.text !== path + text) {
      sent = { text: path + text, key: keyOf() };
    }
    button.disabled = true;
    let why = "";
    try {
      const headers = { "content-type": "application/json", "idempotency-key": sent.key };
      const answer = await fetch(path, { method: "POST", headers, body: text });
      if (answer.status === 401) {
        why = "You were signed out. Sign in on another tab, then press again: what you typed is still here.";
      } else if (!answer.ok || answer.status === 202) {
        why = (await answer.json()).detail;
      }
    } catch (error) {
      why = "wardd was not reached: " + error.message + ". Press again: it is done once.";
    }
    button.disabled = false;
    trouble.textContent = why;
    trouble.hidden = !why;
    if (why) {
      trouble.scrollIntoView({ block: "nearest" });
    } else if (form.dataset.then) {
      location.href = form.dataset.then;
    } else {
      location.reload();
    }
  });
}
