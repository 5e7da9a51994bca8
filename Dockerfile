# The demo service as `npm run serve` runs it, against a Redis and a Supabase from outside.
FROM node:24-slim AS manifests
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY packages/audio/package.json packages/audio/
COPY packages/core/package.json packages/core/
COPY packages/espeak/package.json packages/espeak/
COPY packages/http/package.json packages/http/
COPY packages/testing/package.json packages/testing/
COPY apps/demo/package.json apps/demo/
COPY apps/audiobooks/package.json apps/audiobooks/
COPY apps/bench/package.json apps/bench/
COPY apps/chaos/package.json apps/chaos/

FROM manifests AS build
ENV DO_NOT_TRACK=1 TURBO_TELEMETRY_DISABLED=1
RUN npm ci
COPY . .
RUN node_modules/.bin/turbo run build --filter=@cache/demo

# What the service needs to run, in the locked versions: without this, @cache/testing's servers
# would come along. The embedded voice stays out: it is GPL, this image is MIT and may be passed on.
# Without it the service speaks through ELEVENLABS_API_KEY, or not at all. It goes from the optional
# dependencies too, or npm would look for a package of that name in the registry.
FROM manifests AS production
RUN npm pkg set --json 'workspaces=["packages/audio","packages/core","packages/http","apps/demo"]' \
  && npm pkg delete devDependencies --workspaces --include-workspace-root \
  && npm pkg delete 'optionalDependencies.@cache/espeak' --workspace apps/demo \
  && rm -r packages/espeak packages/testing apps/audiobooks apps/bench apps/chaos \
  && npm install --omit=dev --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
COPY --from=production /app/ ./
COPY --from=build /app/packages/audio/dist packages/audio/dist
COPY --from=build /app/packages/core/dist packages/core/dist
COPY --from=build /app/packages/http/dist packages/http/dist
COPY --from=build /app/apps/demo/dist apps/demo/dist
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node itself is the first process, so that it gets the signal that asks it to drain.
CMD ["node", "apps/demo/dist/main.js"]
