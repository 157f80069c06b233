# The SETTINGS of signet(7) come from the table in provider/settings/table.c.
dist_man_MANS += man/signet.1
nodist_man_MANS = man/signet.7
EXTRA_DIST += man/signet.7.in
CLEANFILES += man/signet.7 man/settings

man/signet.7: man/signet.7.in signet$(EXEEXT)
	@$(MKDIR_P) man
	$(AM_V_GEN)./signet$(EXEEXT) settings-man >man/settings && \
	    sed -e '/^@SETTINGS@$$/{r man/settings' -e 'd;}' $(top_srcdir)/man/signet.7.in >$@.tmp && mv $@.tmp $@
