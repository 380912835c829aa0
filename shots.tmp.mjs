import { chromium } from 'playwright-core';
import { readFileSync } from 'node:fs';
const url='http://127.0.0.1:7421', key=readFileSync('/tmp/dash-runs/data/admin-key','utf8').trim();
const b = await chromium.launch({executablePath:'/usr/bin/chromium',args:['--no-sandbox','--disable-gpu']});
const which = process.argv.slice(2);
const api = async (p)=> (await fetch(url+p,{headers:{authorization:'Bearer '+key}})).json();
const jobs=(await api('/api/v1/jobs')).data; const files=(await api('/api/v1/files')).data;
const id = jobs[0]?.id;
const pages = {overview:'/', jobs:'/jobs', run:`/jobs/${id}`, logs:`/jobs/${id}?tab=logs`, history:`/jobs/${id}?tab=history`, recipe:`/jobs/${id}?tab=recipe`, samples:`/jobs/${id}?tab=samples`, new:`/jobs/new?base=sample&dataset=${files[0]?.id}`, compare:`/compare?jobs=${encodeURIComponent(JSON.stringify(jobs.slice(0,6).map(j=>j.id)))}`};
const sweeps=(await api('/api/v1/sweeps')).data; if (sweeps[0]) pages.sweep=`/compare?sweep=${sweeps[0].id}`;
for (const [w,h,scheme] of [[1440,900,'light'],[360,740,'dark']]) {
  const c = await b.newContext({baseURL:url, viewport:{width:w,height:h}, colorScheme:scheme, reducedMotion:'reduce'});
  c.setDefaultTimeout(60000);
  await c.request.post('/api/v1/session/key',{data:{key}, headers:{origin:url}});
  const p = await c.newPage();
  p.on('pageerror',e=>console.log('ERR',String(e).slice(0,400)));
  p.on('console',m=>{ if(['error','warning'].includes(m.type())) console.log(m.type(),m.text().slice(0,300)); });
  for (const name of which) {
    const t=Date.now();
    await p.goto(pages[name]);
    await p.locator('h1').first().waitFor();
    const t1=Date.now()-t;
    await p.waitForTimeout(4000);
    const over = await p.evaluate('document.documentElement.scrollWidth-document.documentElement.clientWidth');
    await p.screenshot({path:`/tmp/dash-runs/${name}-${w}.png`, fullPage:true});
    console.log(name,w,t1+'ms','overflow',over);
  }
  await c.close();
}
await b.close();
