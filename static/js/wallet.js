// A wallet in the browser (EIP-1193, found by EIP-6963): connect it, show what it has on the chain, link it by a signed
// text, and send a deposit. Keys stay in the wallet; it shows each act and asks.
const DECLINED = 4001;
const UNKNOWN_CHAIN = 4902;
const DECIMALS = 6;
const TRANSFER = "0xa9059cbb"; // the first four bytes of keccak("transfer(address,uint256)")
const BALANCE_OF = "0x70a08231";

const place = document.querySelector("[data-wallet]");
const part = (name) => place.querySelector(`[data-wallet-${name}]`);
const found = new Map();
let account = "";

const chain = () => JSON.parse(place.dataset.chains).find((one) => one.chain === part("chain").value);
const provider = () => found.get(part("provider").value)?.provider ?? window.ethereum;
const ask = (method, ...params) => provider().request({ method, params });
const word = (text) => text.replace(/^0x/, "").toLowerCase().padStart(64, "0");

function say(text, tone = "") {
  part("said").className = tone ? `notice ${tone}` : "";
  part("said").textContent = text;
}

/** "25.5" as whole units of the token; null for what is no amount. */
function toUnits(text) {
  const match = /^(\d{1,14})(?:[.,](\d{1,6}))?$/.exec(text.trim());
  if (!match) return null;
  const units = BigInt(match[1] + (match[2] ?? "").padEnd(DECIMALS, "0"));
  return units > 0n ? units : null;
}

function fromUnits(units) {
  const digits = units.toString().padStart(DECIMALS + 1, "0");
  return `${digits.slice(0, -DECIMALS)}.${digits.slice(-DECIMALS)} USDC`;
}

async function api(route, body) {
  const headers = { "Content-Type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
  const answer = await fetch(`/api/v2/${route}`, { method: "POST", headers, body: JSON.stringify(body) });
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.error.message);
  return data;
}

/** What an act of the wallet came to, in the reader's language. */
function tell(error) {
  if (error.code === DECLINED) say(place.dataset.wordDeclined, "");
  else say(`${place.dataset.wordFailed} ${error.message}`, "bad");
}

const act = (button, work) =>
  part(button).addEventListener("click", async () => {
    part(button).disabled = true;
    try {
      await work();
    } catch (error) {
      tell(error);
    } finally {
      part(button).disabled = false;
    }
  });

/** The wallet works on one chain at a time. */
async function chooseChain() {
  const { chainId, name, rpc, coin } = chain();
  if ((await ask("eth_chainId")) === chainId) return;
  try {
    await ask("wallet_switchEthereumChain", { chainId });
  } catch (error) {
    if (error.code !== UNKNOWN_CHAIN || !rpc) throw error;
    const nativeCurrency = { name: coin, symbol: coin, decimals: 18 };
    await ask("wallet_addEthereumChain", { chainId, chainName: name, rpcUrls: [rpc], nativeCurrency });
  }
}

async function showBalance() {
  const { token } = chain();
  const units = BigInt(await ask("eth_call", { to: token, data: BALANCE_OF + word(account) }, "latest"));
  part("balance").textContent = fromUnits(units);
}

async function connect() {
  [account] = await ask("eth_requestAccounts");
  await chooseChain();
  part("address").textContent = account;
  part("connected").hidden = false;
  for (const field of document.querySelectorAll('form [name="address"]')) field.value ||= account;
  say("");
  await showBalance();
}

async function link() {
  await chooseChain();
  const { message } = await api("wallets/nonce", { chain: chain().chain, address: account });
  const hex = `0x${[...new TextEncoder().encode(message)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const signature = await ask("personal_sign", hex, account);
  await api("wallets/link", { message, signature });
  say(place.dataset.wordLinked, "good");
  location.reload();
}

async function deposit() {
  const units = toUnits(part("amount").value);
  part("amount").setAttribute("aria-invalid", String(units === null));
  if (units === null) return say(place.dataset.wordAmount, "bad");
  await chooseChain();
  const { token, treasury } = chain();
  const data = TRANSFER + word(treasury) + word(units.toString(16));
  await ask("eth_sendTransaction", { from: account, to: token, data, value: "0x0" });
  part("amount").value = "";
  say(place.dataset.wordSent, "good");
}

function offer({ detail }) {
  found.set(detail.info.uuid, detail);
  const option = new Option(detail.info.name, detail.info.uuid);
  part("provider").append(option);
  part("choice").hidden = found.size < 2;
  part("part").hidden = false;
}

if (place) {
  window.addEventListener("eip6963:announceProvider", offer);
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  part("part").hidden = !found.size && !window.ethereum;
  if (part("part").hidden) say(place.dataset.wordNone);
  act("connect", connect);
  act("link", link);
  act("deposit", deposit);
  document.body.addEventListener("live:deposit.changed", () => account && showBalance().catch(tell));
}
