# Sourced in fetch stages: the building host's package-client settings, where scripts/docker/images.sh put some into
# the build context as host/. A fetch stage is left behind, so nothing of this reaches an image.
if [ -f /fetch/client.env ]; then set -a; . /fetch/client.env; set +a; fi
if [ -f /fetch/ca.crt ]; then
  export PIP_CERT=/fetch/ca.crt SSL_CERT_FILE=/fetch/ca.crt REQUESTS_CA_BUNDLE=/fetch/ca.crt
  export CURL_CA_BUNDLE=/fetch/ca.crt NODE_EXTRA_CA_CERTS=/fetch/ca.crt npm_config_cafile=/fetch/ca.crt
fi
if [ -f /fetch/pip.conf ]; then export PIP_CONFIG_FILE=/fetch/pip.conf; fi
if [ -f /fetch/npmrc ]; then export npm_config_userconfig=/fetch/npmrc; fi
