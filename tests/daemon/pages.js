// Uses wardd's pages as a nurse does, in a real browser: `node pages.js BASE CHROMIUM PROFILE`. Says what it saw as JSON.
const puppeteer = require("puppeteer-core");
const [base, chromium, profile] = process.argv.slice(2);
const saw = {};
const text = (page, selector) => page.$eval(selector, (node) => node.innerText);
// Presses a button that leads on to another page, or to the same one anew.
const press = async (page, handle) => {
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), handle.click()]);
};
const button = async (page, form, words) => {
  for (const handle of await page.$$(form + " button")) {
    if ((await handle.evaluate((node) => node.innerText)) === words) {
      return handle;
    }
  }
  throw new Error("no button " + words + " in " + form);
};
const main = async () => {
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"];
  const browser = await puppeteer.launch({ executablePath: chromium, userDataDir: profile, args });
  try {
    const page = await browser.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    // From the board of beds to the patient.
    await page.goto(base + "/beds");
    await Promise.all([page.waitForNavigation(), page.click('ul.beds a[href="/patients/1"]')]);
    saw.patient = await text(page, "main");
    // A task that was not done needs a reason: what was typed stays, and the page says why.
    const task = '.task form';
    await page.type(task + ' [name="user"]', "nina");
    await (await button(page, task, "Not done")).click();
    await page.waitForSelector(task + " .trouble:not([hidden])");
    saw.refused = await text(page, task + " .trouble");
    saw.kept = await page.$eval(task + ' [name="user"]', (field) => field.value);
    await page.type(task + ' [name="words"]', "asleep");
    await press(page, await button(page, task, "Not done"));
    saw.tasks = await text(page, ".task");
    // A form of the house.
    await Promise.all([page.waitForNavigation(), page.click('a[href="/patients/1/forms/glasgow"]')]);
    for (const [field, value] of [["eyes", "4"], ["speech", "4"], ["movement", "6"]]) {
      await page.click(`input[name="answers.${field}"][value="${value}"]`);
    }
    await page.type('[name="user"]', "nina");
    // Two presses, one note.
    await Promise.all([page.waitForNavigation(), page.$eval("form button", (node) => { node.click(); node.click(); })]);
    saw.record = await text(page, "main");
    // Signs, of which one cannot be.
    const signs = "form.signs";
    await page.type(signs + ' [data-code="8867-4"]', "9999");
    await page.type(signs + ' [name="user"]', "nina");
    await (await button(page, signs, "Record")).click();
    await page.waitForSelector(signs + " .trouble:not([hidden])");
    saw.impossible = await text(page, signs + " .trouble");
    await page.$eval(signs + ' [data-code="8867-4"]', (field) => { field.value = "72"; });
    await press(page, await button(page, signs, "Record"));
    saw.signs = await text(page, "main");
    // Somebody is found by name, and nothing of it stands in the address.
    await page.goto(base + "/patients");
    await page.type('[name="name"]', "doe1");
    await press(page, await button(page, "form.find", "Find"));
    saw.found = await text(page, "table");
    saw.address = page.url().slice(base.length);
    await page.type('[name="number"]', "nobody");
    await press(page, await button(page, "form.find", "Find"));
    saw.nobody = await text(page, "main");
    // The ward's list.
    await page.goto(base + "/wards/MED/tasks");
    saw.ward = await text(page, "table");
    saw.errors = errors;
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(saw));
};
main().catch((error) => {
  console.error(error, JSON.stringify(saw));
  process.exit(1);
});
