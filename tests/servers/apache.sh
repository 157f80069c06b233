#!/bin/sh
# Apache: a key by URI and one by key file, for the server and for its connections to another, through both kinds of
# restart, with threads and with processes.
. "$(dirname "$0")/setup.sh"
PATH=$PATH:/usr/sbin
setup_server apache2 www-data
cat rsa.pem rsa.key >rsa-both.pem
mkdir pages
echo hello >pages/hello
cat >apache.conf <<END
ServerRoot /usr/lib/apache2
ServerName localhost
PidFile $work/apache.pid
ErrorLog $work/error.log
User www-data
Group www-data
Listen 127.0.0.1:$port

LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule headers_module modules/mod_headers.so
LoadModule rewrite_module modules/mod_rewrite.so
LoadModule socache_shmcb_module modules/mod_socache_shmcb.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
LoadModule ssl_module modules/mod_ssl.so

<VirtualHost 127.0.0.1:$port>
    DocumentRoot $work/pages
    SSLEngine on
    SSLProtocol all -TLSv1 -TLSv1.1

    SSLCertificateFile $work/ec-chain.pem
    SSLCertificateKeyFile "pkcs11:token=test;object=ec;type=private"
    SSLCertificateFile $work/rsa-chain.pem
    SSLCertificateKeyFile $work/rsa.key

    SSLCACertificateFile $work/root.pem
    SSLVerifyClient require
    SSLVerifyDepth 2
    SSLSessionTickets off
    Header set X-Hello "%{SSL_CLIENT_S_DN}s, %{SSL_PROTOCOL}s"

    SSLProxyEngine on
    SSLProxyCACertificateFile $work/root.pem
    SSLProxyMachineCertificateFile $work/rsa-both.pem
    SSLProxyMachineCertificateChainFile $work/intermediate.pem
    SSLProxyVerify require
    SSLProxyVerifyDepth 2
    ProxyPass /behind/ https://localhost:$port/

    <Directory $work/pages>
        Require all granted
    </Directory>
</VirtualHost>
END

start() {
    : >error.log
    rm -f apache.pid
    apache2 -f "$work/apache.conf" >start.out 2>&1 && waits_for test -s apache.pid && server=$(cat apache.pid) && waits_for listens
}
page() {
    visit -D - https://localhost/hello
}

for mpm in event prefork; do
    sed -i "s/mpm_[a-z]*_module modules.*/mpm_${mpm}_module modules\/mod_mpm_$mpm.so/" apache.conf
    ok "$mpm: the configuration is checked" apache2 -t -f "$work/apache.conf"
    ok "$mpm: Apache starts" start
    ok "$mpm: a client with its key on the token" page
    says "$mpm: is known to the server" 'X-Hello: CN=localhost, TLSv1.3'
    ok "$mpm: TLS 1.2 with the EC key" with_suite ECDHE-ECDSA-AES128-GCM-SHA256
    ok "$mpm: TLS 1.2 with the RSA key" with_suite ECDHE-RSA-AES128-GCM-SHA256
    ok "$mpm: Apache is a client with a key on the token" visit -D - https://localhost/behind/hello
    says "$mpm: and known to the server behind" '^hello'
    ok "$mpm: many visits" visits 60
    ok "$mpm: a graceful restart" kill -USR1 "$server"
    ok "$mpm: visits meanwhile" visits 40
    ok "$mpm: a restart" kill -HUP "$server"
    waits_for page
    ok "$mpm: visits after it" visits 40
    ok "$mpm: a child is killed" kill -KILL $(children | head -n 1)
    ok "$mpm: the others serve" waits_for page
    ok "$mpm: Apache ends" ends TERM
    not_ok "$mpm: nothing crashed" grep 'exit signal [^K]' error.log
done

# Bad days: what the log says must be enough. Apache tells nothing of a URI that leads to no key, so that Signet does.
conf "default signet" "trace = stderr:error"
may_not
ok "a token that the children can't read: Apache starts" start
not_ok "a visit fails" page
logged "the log names the module's call" 'C_Initialize'
logged "and what to do" 'may read'
ok "Apache ends" ends TERM
may

sed -i 's/object=ec/object=ce/' apache.conf
not_ok "a key that is not there: Apache does not start" start
logged "and says which" "has no private key that matches 'pkcs11:token=test;object=ce"
sed -i 's/object=ce/object=ec/' apache.conf

printf '99999\n' >pin
not_ok "a wrong PIN: Apache does not start" start
logged "and says that" 'CKR_PIN_INCORRECT'
tap_done
