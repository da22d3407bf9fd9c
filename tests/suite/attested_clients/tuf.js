// Stands in for npm's TUF client, which asks an address on the internet that no setting of npm's changes: this trusted root,
// and no registry's keys, so that npm asks the registry itself for them. Everything else is npm's own code.
const { createRequire } = require('node:module')
const { readFileSync } = require('node:fs')

const npm = createRequire(process.argv[1])
const { TrustedRoot } = npm('@sigstore/protobuf-specs')
const root = TrustedRoot.fromJSON(JSON.parse(readFileSync(process.env.TRUSTED_ROOT, 'utf8')))
const none = Object.assign(new Error('no such target'), { code: 'TUF_FIND_TARGET_ERROR' })
const path = npm.resolve('@sigstore/tuf')
const standIn = {
  initTUF: async () => ({ getTarget: async () => { throw none } }),
  getTrustedRoot: async () => root,
  TUFError: class TUFError extends Error {},
}
require.cache[path] = { id: path, filename: path, loaded: true, exports: standIn }
