#!/bin/sh
# nginx: keys in a token for the server and for its connections to another, through reloads and the death of workers.
. "$(dirname "$0")/setup.sh"
PATH=$PATH:/usr/sbin
setup_server nginx www-data
cat >nginx.conf <<END
user www-data;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log;

env OPENSSL_CONF;
env SOFTHSM2_CONF;

events {
}

http {
    access_log off;

    server {
        listen 127.0.0.1:$port ssl;
        server_name localhost;

        ssl_certificate $work/ec-chain.pem;
        ssl_certificate_key $work/ec.key;
        ssl_certificate $work/rsa-chain.pem;
        ssl_certificate_key $work/rsa.key;

        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_client_certificate $work/root.pem;
        ssl_verify_client on;
        ssl_verify_depth 2;
        ssl_session_cache off;
        ssl_session_tickets off;

        location / {
            return 200 "hello \$ssl_client_s_dn, \$ssl_protocol\n";
        }

        location /behind/ {
            proxy_pass https://127.0.0.1:$port/;
            proxy_ssl_certificate $work/rsa-chain.pem;
            proxy_ssl_certificate_key $work/rsa.key;
            proxy_ssl_trusted_certificate $work/root.pem;
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 2;
            proxy_ssl_name localhost;
            proxy_ssl_session_reuse off;
        }
    }
}
END

start() {
    : >error.log
    nginx -c "$work/nginx.conf" >start.out 2>&1 && waits_for test -s nginx.pid && server=$(cat nginx.pid) && waits_for listens
}
two_workers() {
    [ "$(children | wc -l)" -eq 2 ]
}

ok "the configuration is checked" nginx -t -c "$work/nginx.conf"
may_not
ok "without the token, too" nginx -t -c "$work/nginx.conf"
may
ok "nginx starts" start
ok "a client with its key on the token" visit https://localhost/hello
says "is known to the server" 'hello CN=localhost, TLSv1.3'
ok "TLS 1.2 with the EC key" with_suite ECDHE-ECDSA-AES128-GCM-SHA256
ok "TLS 1.2 with the RSA key" with_suite ECDHE-RSA-AES128-GCM-SHA256
ok "TLS 1.2 with RSA key transport" with_suite AES128-GCM-SHA256
ok "nginx is a client with a key on the token" visit https://localhost/behind/hello
says "and known to the server behind" 'hello CN=localhost'
ok "many visits" visits 60
old=$(children)
ok "a reload" kill -HUP "$server"
ok "ends the old workers" waits_for gone $old
ok "and the new ones serve" visits 40
ok "a worker is killed" kill -KILL $(children | head -n 1)
ok "the others serve" visits 40
ok "and there are as many as before" waits_for two_workers
ok "nginx ends" ends QUIT
not_ok "no worker crashed" grep 'exited on signal [^9]' error.log

# Bad days: what the log says must be enough.
may_not
ok "a token that the workers can't read: nginx starts" start
not_ok "a visit fails" visit https://localhost/hello
logged "the log names the module's call" 'C_Initialize'
logged "and what to do" 'may read'
ok "nginx ends" ends QUIT
may

sed -i '/env SOFTHSM2_CONF/d' nginx.conf
ok "without the variable that the module reads: nginx starts" start
not_ok "a visit fails" visit https://localhost/hello
logged "the log says how to keep it" 'env SOFTHSM2_CONF'
ok "nginx ends" ends QUIT
sed -i '1i env SOFTHSM2_CONF;' nginx.conf

printf '99999\n' >pin
ok "a wrong PIN: nginx starts" start
not_ok "a visit fails" visit https://localhost/hello
logged "the log says that the PIN is wrong" 'CKR_PIN_INCORRECT'
printf '%s\n' "$PIN" >pin
ok "when the file has the right one, visits succeed" visits 20
ok "nginx ends" ends QUIT
tap_done
