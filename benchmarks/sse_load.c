// sse_load: open N SSE (or WebSocket) connections over HTTP/1.1, count delivered events, measure latency.
// Build: gcc -O2 -Wall -pthread -o sse_load sse_load.c
// Always exits by itself: after -d seconds (counted from "all connected"), or when -e events arrived,
// or (with --pub) when every published message reached every connection, or after --idle s of silence past the publisher's end.
// For the bridge: digits in quotes count as numbers ("t":"1764..."), --messages, --live, --first, --log; CPU of all server threads in ns.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char *USAGE =
"usage: sse_load [options]\n"
"  -h HOST        (127.0.0.1, IPv4)      -p PORT          -P PATH  ('%d' in it = connection index)\n"
"  -H 'Name: v'   extra request header, repeatable ('%d' = connection index)\n"
"  -n N           connections (1)        -d SECONDS       measuring time after all are connected (10)\n"
"  -e EVENTS      stop when this many events arrived (all connections together)\n"
"  -c CONC        connections being opened at once (256)  -t THREADS (1)\n"
"  --ws           WebSocket text frames instead of SSE    --ws-proto P  (Sec-WebSocket-Protocol)\n"
"  --ws-send TXT  text frame to send once connected, repeatable ('%d' = index)\n"
"  --ws-pong      answer a text frame '{}' with '{}' (Centrifugo ping)\n"
"  --method M     request method (GET)   --body TXT       request body (for POST subscribe)\n"
"  --tkey K       timestamp key (t): looks for \"K\":<digits> or \\\"K\\\":<digits>\n"
"  --nkey K       sequence key (n): per-connection gap/duplicate check\n"
"  --sample S     parse the timestamp in every S-th event only (1)\n"
"  --count-stamped  count only events that carry the timestamp\n"
"  --messages     count only events of the default type (no 'event:' line)\n"
"  --live NAME    a connection counts as connected when the event of this name has arrived\n"
"  --first N      the sequence check of every connection starts at N (a first N+1 is a gap)\n"
"  --log FILE     a line '<n> <arrival in ns>' per stamped event  --log-every K  of every K-th connection (1)\n"
"  --pid P[,P..]  server pids: CPU seconds in the window, RSS/PSS at idle and at the end\n"
"  --hold S       stay idle S seconds after connecting (idle memory), before the window opens\n"
"  --ready FILE   write a file when all are connected (driver scripts)\n"
"  --conn-timeout S  give up connecting after S (60)      --idle S (3)\n"
"  --slow K       the first K connections never read (slow consumers)\n"
"  --rcvbuf B     SO_RCVBUF of each socket\n"
"  --src-ips K    spread source addresses over 127.0.0.1..K (above 28k connections)\n"
"  --dump         print first 400 bytes of what connection 0 received (stderr)\n"
"publisher inside this process (own thread, one keep-alive connection, waits for each answer):\n"
"  --pub PATH     POST there             --pub-port PORT (same)  --pub-H 'Name: v' repeatable\n"
"  --pub-count M  --pub-rate R (0 = as fast as answered)  --pub-size BYTES (300, JSON size)\n"
"  --pub-prefix T --pub-suffix T  text around the JSON    --pub-escape  JSON-escape it (put inside a string)\n"
"  --pub-window W at most W messages not yet received by all (0 = no limit)\n"
"  --pub-ws       publish over a WebSocket (one text frame per message, reads answers)\n";

typedef struct { int fd; int idx; uint8_t st; uint8_t chunked, mode_ws, slow; uint8_t chst; uint8_t ready; uint8_t named, live;
  int64_t chleft; char *carry; uint32_t clen, ccap; uint32_t datalines; uint8_t have_t; uint64_t ev; int64_t lastn; uint64_t sampc; uint32_t status; uint64_t tval; } conn;
enum { S_CONN, S_HEAD, S_BODY, S_CLOSED };

#define HB 64
#define HN (64*HB)
typedef struct { pthread_t th; int id; int ep; conn *c; int n; uint64_t events, stamped, bytes, frames, comments, ids, retries, evnames, pings, gaps, dups, closed, badstatus, heads;
  uint64_t hist[HN]; uint64_t latsum, latn, latmax, latmin; uint64_t first_ns, last_ns; uint64_t persec[4096]; _Atomic uint64_t pub_events; char lastid[128]; } wk;

static char *host="127.0.0.1"; static int port=8080; static char *path="/"; static char *hdrs[64]; static int nh; static int N=1; static double dur=10; static uint64_t expect; static int conc=256, nthr=1;
static int ws; static char *wsproto; static char *wssend[16]; static int nws; static int wspong; static char *method="GET", *body; static char tk1[64], tk2[64], nk1[64], nk2[64]; static int sample=1, cstamped; static int pids[64]; static int npid; static double hold=0; static char *readyf; static double conn_to=60, idle=3; static int slowk, rcvbuf, srcips=0, dump;
static char *pubpath; static int pubport; static char *pubh[32]; static int npubh; static long pubcount=0; static double pubrate=0; static int pubsize=300; static char *pubpre="", *pubsuf=""; static int pubesc, pubws; static long pubwin;
static int only_messages, logevery=1; static char *livename; static int64_t firstn=0; static FILE *logf; static _Atomic int nlive;
static wk W[64]; static _Atomic int nready, nfail; static _Atomic int go, stop, pubdone; static _Atomic uint64_t total_events; static _Atomic long published; static double publag_max; static uint64_t pub_start, pub_end; static uint64_t t_open_ns; static _Atomic long pub_errors;
static struct sockaddr_in addr;
static uint64_t nowr(void){struct timespec t;clock_gettime(CLOCK_REALTIME,&t);return (uint64_t)t.tv_sec*1000000000ull+t.tv_nsec;}
static double nowm(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+t.tv_nsec/1e9;}
static void die(const char*f,...){va_list a;va_start(a,f);vfprintf(stderr,f,a);va_end(a);fputc('\n',stderr);exit(2);}

static int hidx(uint64_t v){ if(v<HB) return v; int lg=63-__builtin_clzll(v); int sub=(v>>(lg-6))&(HB-1); return (lg-5)*HB+sub; }
static uint64_t hval(int i){ if(i<HB) return i; int lg=i/HB+5; uint64_t sub=i%HB; return (1ull<<lg)|(sub<<(lg-6)); }

static void lat(wk*w,uint64_t t,uint64_t now){ uint64_t d = now>t? now-t:0; int i=hidx(d); if(i>=HN)i=HN-1; w->hist[i]++; w->latsum+=d; w->latn++; if(d>w->latmax)w->latmax=d; if(!w->latmin||d<w->latmin)w->latmin=d; }
static int findnum(const char*p,size_t l,const char*k1,const char*k2,uint64_t*out){ size_t kl=strlen(k1); const char*q=memmem(p,l,k1,kl); if(!q){kl=strlen(k2); q=memmem(p,l,k2,kl); if(!q) return 0;} q+=kl; const char*e=p+l; while(q<e&&*q==' ')q++; if(q<e&&*q=='"')q++; uint64_t v=0;int d=0; while(q<e&&*q>='0'&&*q<='9'){v=v*10+(*q-'0');q++;d++;} if(!d) return 0; *out=v; return 1; }
static uint64_t g_now; // per read batch
static void on_payload(wk*w,conn*c,const char*p,size_t l,uint64_t now){ // one data line / one message
  if(sample==1 || (c->sampc++ % sample)==0){ uint64_t t; if(findnum(p,l,tk1,tk2,&t)){ w->stamped++; c->have_t=1; lat(w,t,now); uint64_t n; if(sample==1&&findnum(p,l,nk1,nk2,&n)){ if(logf&&c->idx%logevery==0)fprintf(logf,"%llu %llu\n",(unsigned long long)n,(unsigned long long)now); if(c->lastn>=0){ if((int64_t)n<=c->lastn) w->dups++; else if((int64_t)n>c->lastn+1) w->gaps+=n-c->lastn-1; } c->lastn=n; } } } }
static void on_event(wk*w,conn*c,uint64_t now){ if(cstamped&&!c->have_t){c->have_t=0;return;} c->have_t=0; w->events++; c->ev++; if(atomic_load_explicit(&go,memory_order_relaxed)){ if(!w->first_ns)w->first_ns=now; w->last_ns=now; uint64_t s=(now-t_open_ns)/1000000000ull; if(now>=t_open_ns&&s<4096)w->persec[s]++; } }
static void sse_line(wk*w,conn*c,const char*p,size_t l,uint64_t now){ if(l&&p[l-1]=='\r')l--; if(!l){ if(c->datalines&&!(only_messages&&c->named)){on_event(w,c,now);} c->datalines=0; c->named=0; return; }
  switch(p[0]){ case ':': w->comments++; break; case 'd': if(l>=5&&!memcmp(p,"data",4)&&(p[4]==':')){c->datalines++; on_payload(w,c,p+5,l-5,now);} break; case 'i': w->ids++; if(c->idx==0){size_t k=l<sizeof w->lastid-1?l:sizeof w->lastid-1; memcpy(w->lastid,p,k); w->lastid[k]=0;} break; case 'r': w->retries++; break; case 'e': w->evnames++; c->named=1; if(livename&&!c->live){ const char*v=p+6; size_t k=strlen(livename); if(l>6&&*v==' ')v++; if((size_t)(p+l-v)==k&&!memcmp(v,livename,k)){c->live=1; atomic_fetch_add(&nlive,1);} } break; } }
static void carry_add(conn*c,const char*p,size_t l){ if(c->clen+l>c->ccap){ c->ccap=(c->clen+l)*2+64; c->carry=realloc(c->carry,c->ccap);} memcpy(c->carry+c->clen,p,l); c->clen+=l; }
static void sse_feed(wk*w,conn*c,const char*p,size_t l,uint64_t now){ const char*e=p+l; while(p<e){ const char*nl=memchr(p,'\n',e-p); if(!nl){carry_add(c,p,e-p);return;} if(c->clen){carry_add(c,p,nl-p); sse_line(w,c,c->carry,c->clen,now); c->clen=0; if(c->ccap>65536){free(c->carry);c->carry=0;c->ccap=0;}} else sse_line(w,c,p,nl-p,now); p=nl+1; } }
// chunked decoder: chst 0=size line,1=data,2=CRLF after data; size digits gathered in chleft, ext skipped
static void body_feed(wk*w,conn*c,const char*p,size_t l,uint64_t now){ if(!c->chunked){sse_feed(w,c,p,l,now);return;} const char*e=p+l; while(p<e){ if(c->chst==0||c->chst==3){ char ch=*p++; if(ch=='\n'){ if(c->chleft==0){ /* end of body */ c->chst=4; return;} c->chst=1; } else if(c->chst==0&&isxdigit((unsigned char)ch)){ c->chleft=c->chleft*16+(ch<='9'?ch-'0':(ch|32)-'a'+10);} else if(ch!='\r') c->chst=3; }
    else if(c->chst==1){ size_t k=e-p; if((int64_t)k>c->chleft)k=c->chleft; sse_feed(w,c,p,k,now); p+=k; c->chleft-=k; if(!c->chleft)c->chst=2; }
    else if(c->chst==2){ if(*p++=='\n'){c->chst=0;c->chleft=0;} } else return; } }
static size_t ws_build(char*o,int op,const char*s,size_t l){ size_t i=0; o[i++]=0x80|op; if(l<126)o[i++]=0x80|l; else {o[i++]=(char)(0x80|126);o[i++]=l>>8;o[i++]=l&255;} memset(o+i,0,4); i+=4; memcpy(o+i,s,l); return i+l; }
static void ws_sendt(int fd,int op,const char*s,size_t l){ char b[65600]; if(l>65500)return; size_t k=ws_build(b,op,s,l); if(send(fd,b,k,MSG_NOSIGNAL)<0){} }
static void ws_msg(wk*w,conn*c,const char*p,size_t l,uint64_t now){ w->frames++; if(wspong&&l<=3&&l>=2&&p[0]=='{'&&p[1]=='}'){ w->pings++; ws_sendt(c->fd,1,"{}",2); return; }
  const char*e=p+l; while(p<e){ const char*nl=memchr(p,'\n',e-p); const char*q=nl?nl:e; if(q>p){ c->have_t=0; on_payload(w,c,p,q-p,now); on_event(w,c,now);} p=q+1; } }
static void ws_feed(wk*w,conn*c,const char*p,size_t l,uint64_t now){ const char*b=p; size_t n=l; int used_carry=0; if(c->clen){carry_add(c,p,l); b=c->carry; n=c->clen; used_carry=1;} size_t off=0; while(n-off>=2){ const unsigned char*u=(const unsigned char*)b+off; int op=u[0]&15; uint64_t len=u[1]&127; size_t hl=2; if(len==126){ if(n-off<4)break; len=u[2]<<8|u[3]; hl=4;} else if(len==127){ if(n-off<10)break; len=0; for(int i=0;i<8;i++)len=len<<8|u[2+i]; hl=10;} if(n-off<hl+len)break; const char*pl=b+off+hl; if(op==1||op==2||op==0) ws_msg(w,c,pl,len,now); else if(op==9){w->pings++; ws_sendt(c->fd,10,pl,len);} else if(op==8){ /* close */ } off+=hl+len; }
  if(used_carry){ if(off){ memmove(c->carry,c->carry+off,n-off); c->clen=n-off; if(!c->clen&&c->ccap>65536){free(c->carry);c->carry=0;c->ccap=0;} } } else if(off<n) carry_add(c,b+off,n-off); }
static void subst(char*o,size_t cap,const char*f,int idx){ size_t j=0; for(;*f&&j<cap-12;f++){ if(f[0]=='%'&&f[1]=='d'){ j+=snprintf(o+j,cap-j,"%d",idx); f++; } else o[j++]=*f; } o[j]=0; }
static void send_req(conn*c){ static __thread char b[65536]; char pp[8192]; subst(pp,sizeof pp,path,c->idx); size_t l=snprintf(b,sizeof b,"%s %s HTTP/1.1\r\nHost: %s:%d\r\n",method,pp,host,port); int hasacc=0; for(int i=0;i<nh;i++){ char hh[8192]; subst(hh,sizeof hh,hdrs[i],c->idx); if(!strncasecmp(hh,"accept:",7))hasacc=1; l+=snprintf(b+l,sizeof b-l,"%s\r\n",hh);} if(ws){ l+=snprintf(b+l,sizeof b-l,"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"); if(wsproto)l+=snprintf(b+l,sizeof b-l,"Sec-WebSocket-Protocol: %s\r\n",wsproto);} else if(!hasacc) l+=snprintf(b+l,sizeof b-l,"Accept: text/event-stream\r\nCache-Control: no-cache\r\n"); if(body)l+=snprintf(b+l,sizeof b-l,"Content-Length: %zu\r\n\r\n%s",strlen(body),body); else l+=snprintf(b+l,sizeof b-l,"\r\n"); if(send(c->fd,b,l,MSG_NOSIGNAL)!=(ssize_t)l){ fprintf(stderr,"send request: %s\n",strerror(errno)); } }
static int open_conn(wk*w,conn*c){ c->fd=socket(AF_INET,SOCK_STREAM|SOCK_NONBLOCK,0); if(c->fd<0)return -1; int one=1; setsockopt(c->fd,IPPROTO_TCP,TCP_NODELAY,&one,sizeof one); int rb=rcvbuf; if(c->slow&&!rb)rb=4096; if(rb)setsockopt(c->fd,SOL_SOCKET,SO_RCVBUF,&rb,sizeof rb); if(srcips>0){struct sockaddr_in s={0};s.sin_family=AF_INET;s.sin_addr.s_addr=htonl(0x7f000001+c->idx%srcips);if(bind(c->fd,(void*)&s,sizeof s))return -1;} if(connect(c->fd,(void*)&addr,sizeof addr)&&errno!=EINPROGRESS)return -1; c->st=S_CONN; struct epoll_event e={.events=EPOLLOUT,.data.ptr=c}; return epoll_ctl(w->ep,EPOLL_CTL_ADD,c->fd,&e); }
static void fail(wk*w,conn*c,const char*why){ if(c->st==S_CLOSED)return; if(!c->ready){ atomic_fetch_add(&nfail,1); if(atomic_load(&nfail)<=3)fprintf(stderr,"conn %d failed: %s status=%u %.*s\n",c->idx,why,c->status,(int)(c->clen<300?c->clen:300),c->carry?c->carry:""); } else { w->closed++; if(!atomic_load(&stop)&&w->closed<=3)fprintf(stderr,"conn %d closed by peer: %s\n",c->idx,why);} close(c->fd); c->st=S_CLOSED; }
static void *worker(void*a){ wk*w=a; static __thread char buf[1<<18]; int next=0, inflight=0; struct epoll_event es[512]; 
  while(!atomic_load(&stop)){ int ready_here=0; (void)ready_here;
    while(next<w->n&&inflight<conc){ conn*c=&w->c[next++]; if(open_conn(w,c)){ fprintf(stderr,"open: %s\n",strerror(errno)); c->st=S_CLOSED; atomic_fetch_add(&nfail,1);} else inflight++; }
    int k=epoll_wait(w->ep,es,512,50); if(k<0)continue; uint64_t now=nowr(); uint64_t ev0=w->events; int cnt=0;
    for(int i=0;i<k;i++){ conn*c=es[i].data.ptr; if(c->st==S_CLOSED)continue; if(c->st==S_CONN){ int er=0; socklen_t sl=sizeof er; getsockopt(c->fd,SOL_SOCKET,SO_ERROR,&er,&sl); if(er){ errno=er; fail(w,c,strerror(er)); inflight--; continue;} c->st=S_HEAD; struct epoll_event e={.events=EPOLLIN|EPOLLRDHUP,.data.ptr=c}; epoll_ctl(w->ep,EPOLL_CTL_MOD,c->fd,&e); send_req(c); continue; }
      if(c->slow&&c->ready){ struct epoll_event e={.events=0,.data.ptr=c}; epoll_ctl(w->ep,EPOLL_CTL_MOD,c->fd,&e); if(es[i].events&(EPOLLHUP|EPOLLERR)) fail(w,c,"slow consumer dropped"); continue; }
      ssize_t r=recv(c->fd,buf,sizeof buf,0); if(r<0){ if(errno==EAGAIN||errno==EINTR)continue; int wasr=c->ready; fail(w,c,strerror(errno)); if(!wasr)inflight--; continue;} if(r==0){ int wasr=c->ready; fail(w,c,"eof"); if(!wasr)inflight--; continue; }
      w->bytes+=r; if(((++cnt)&15)==0) now=nowr(); // timestamps at most 16 reads old
      if(dump&&c->idx==0&&dump<6000){ fwrite(buf,1,r<1200?r:1200,stderr); dump+=r; }
      char*p=buf; size_t l=r; if(c->st==S_HEAD){ carry_add(c,p,l); char*h=memmem(c->carry,c->clen,"\r\n\r\n",4); if(!h)continue; *h=0; c->status=atoi(c->carry+9); if(c->status!=200&&c->status!=101){ w->badstatus++; fail(w,c,"bad status"); inflight--; continue; } if(strcasestr(c->carry,"transfer-encoding: chunked"))c->chunked=1; size_t hl=h+4-c->carry; size_t rest=c->clen-hl; static __thread char tmp[1<<18]; if(rest>sizeof tmp)rest=sizeof tmp; memcpy(tmp,c->carry+hl,rest); c->clen=0; c->st=S_BODY; c->ready=1; inflight--; w->heads++; atomic_fetch_add(&nready,1); if(ws)for(int q=0;q<nws;q++){char t[8192];subst(t,sizeof t,wssend[q],c->idx);ws_sendt(c->fd,1,t,strlen(t));} if(rest){ if(ws)ws_feed(w,c,tmp,rest,now); else body_feed(w,c,tmp,rest,now);} continue; }
      if(ws)ws_feed(w,c,p,l,now); else body_feed(w,c,p,l,now); if(c->chst==4)fail(w,c,"end of chunked body"); }
    if(w->events!=ev0) atomic_fetch_add(&total_events,w->events-ev0);
  } return 0; }

static int pub_fd=-1; static int pub_conn(void){ int s=socket(AF_INET,SOCK_STREAM,0); struct sockaddr_in a=addr; a.sin_port=htons(pubport?pubport:port); if(connect(s,(void*)&a,sizeof a)){close(s);return -1;} int one=1; setsockopt(s,IPPROTO_TCP,TCP_NODELAY,&one,sizeof one); return s; }
static int read_resp(int s){ static char b[65536]; size_t n=0; for(;;){ ssize_t r=recv(s,b+n,sizeof b-1-n,0); if(r<=0)return -1; n+=r; b[n]=0; char*h=strstr(b,"\r\n\r\n"); if(!h)continue; int st=atoi(b+9); char*cl=strcasestr(b,"content-length:"); int ka=!(strcasestr(b,"connection: close")&&strcasestr(b,"connection: close")<h); if(cl&&cl<h){ size_t need=(h+4-b)+atol(cl+15); while(n<need){ r=recv(s,b+n,sizeof b-1-n,0); if(r<=0)return -1; n+=r;} return ka?st:-st; } if(strcasestr(b,"transfer-encoding: chunked")){ while(!strstr(h,"0\r\n\r\n")){ r=recv(s,b+n,sizeof b-1-n,0); if(r<=0)return -1; n+=r; b[n]=0;} return ka?st:-st; } return ka?st:-st; } }
static void *pubthread(void*a){ (void)a; while(!atomic_load(&go)&&!atomic_load(&stop)) usleep(1000); char*js=malloc(pubsize+512); char*bd=malloc(2*pubsize+8192); char*req=malloc(2*pubsize+16384); pub_fd=pub_conn(); if(pub_fd<0){fprintf(stderr,"publisher cannot connect\n"); atomic_store(&pubdone,1); return 0;}
  if(pubws){ char b[4096]; int l=snprintf(b,sizeof b,"GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",pubpath,host,pubport?pubport:port); for(int i=0;i<npubh;i++)l+=snprintf(b+l,sizeof b-l,"%s\r\n",pubh[i]); l+=snprintf(b+l,sizeof b-l,"\r\n"); if(send(pub_fd,b,l,0)!=l){} if(recv(pub_fd,b,sizeof b,0)<=0){} }
  double t0=nowm(); pub_start=nowr(); for(long i=0;i<pubcount&&!atomic_load(&stop);i++){ if(pubrate>0){ double due=t0+i/pubrate; double d=due-nowm(); if(d>0){struct timespec ts={(time_t)d,(long)((d-(long)d)*1e9)};nanosleep(&ts,0);} else if(-d>publag_max)publag_max=-d; }
    if(pubwin) while((uint64_t)(i-pubwin)*(uint64_t)N>atomic_load(&total_events)&&i>pubwin&&!atomic_load(&stop)) usleep(50);
    int l=snprintf(js,pubsize+512,"{\"t\":%llu,\"n\":%ld,\"pad\":\"",(unsigned long long)nowr(),i); int k=pubsize-l-2; if(k<0)k=0; for(int q=0;q<k;q++)js[l+q]='a'+(q*7+i)%26; l+=k; js[l++]='"'; js[l++]='}'; js[l]=0;
    int bl=snprintf(bd,8192,"%s",pubpre); if(pubesc){ for(int q=0;q<l;q++){ if(js[q]=='"')bd[bl++]='\\'; bd[bl++]=js[q]; } } else {memcpy(bd+bl,js,l); bl+=l;} bl+=sprintf(bd+bl,"%s",pubsuf);
    if(pubws){ char*o=malloc(bl+16); size_t z=ws_build(o,1,bd,bl); if(send(pub_fd,o,z,MSG_NOSIGNAL)<0)atomic_fetch_add(&pub_errors,1); free(o); char dr[65536]; while(recv(pub_fd,dr,sizeof dr,MSG_DONTWAIT)>0); }
    else { int rl=snprintf(req,16384,"POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Length: %d\r\n",pubpath,host,pubport?pubport:port,bl); for(int q=0;q<npubh;q++)rl+=snprintf(req+rl,16384-rl,"%s\r\n",pubh[q]); rl+=snprintf(req+rl,16384-rl,"\r\n"); memcpy(req+rl,bd,bl); rl+=bl; int st=-1; for(int tr=0;tr<2;tr++){ if(send(pub_fd,req,rl,MSG_NOSIGNAL)==rl){ st=read_resp(pub_fd); if(st!=-1)break;} close(pub_fd); pub_fd=pub_conn(); if(pub_fd<0)break; } if(st<0&&st!=-1){ close(pub_fd); pub_fd=pub_conn(); st=-st;} if(st<200||st>299){ if(atomic_fetch_add(&pub_errors,1)<3)fprintf(stderr,"publish status %d\n",st);} if(pub_fd<0)break; }
    atomic_fetch_add(&published,1); }
  pub_end=nowr(); atomic_store(&pubdone,1); return 0; }

static double cpu_of(int pid){ char f[64],b[1024]; snprintf(f,sizeof f,"/proc/%d/stat",pid); FILE*fp=fopen(f,"r"); if(!fp)return 0; size_t n=fread(b,1,sizeof b-1,fp); fclose(fp); b[n]=0; char*q=strrchr(b,')'); if(!q)return 0; unsigned long ut,stt; if(sscanf(q+2,"%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",&ut,&stt)!=2)return 0; return (ut+stt)/(double)sysconf(_SC_CLK_TCK); }
static double cpu_ns(int pid){ char f[320]; snprintf(f,sizeof f,"/proc/%d/task",pid); DIR*d=opendir(f); if(!d)return -1; double sum=0; struct dirent*de; while((de=readdir(d))){ if(de->d_name[0]=='.')continue; snprintf(f,sizeof f,"/proc/%d/task/%s/schedstat",pid,de->d_name); FILE*fp=fopen(f,"r"); if(!fp)continue; unsigned long long a=0; if(fscanf(fp,"%llu",&a)==1)sum+=a/1e9; fclose(fp); } closedir(d); return sum; }
static void mem_of(int pid,long*rss,long*pss){ char f[64],l[256]; *rss=*pss=0; snprintf(f,sizeof f,"/proc/%d/smaps_rollup",pid); FILE*fp=fopen(f,"r"); if(!fp)return; while(fgets(l,sizeof l,fp)){ sscanf(l,"Rss: %ld",rss); sscanf(l,"Pss: %ld",pss);} fclose(fp); }
static double allcpu(void){ double s=0; for(int i=0;i<npid;i++)s+=cpu_of(pids[i]); return s; }
static double allns(void){ double s=0; for(int i=0;i<npid;i++){double v=cpu_ns(pids[i]); if(v>0)s+=v;} return s; }
static void allmem(long*r,long*p){ *r=*p=0; for(int i=0;i<npid;i++){long a,b;mem_of(pids[i],&a,&b);*r+=a;*p+=b;} }

int main(int ac,char**av){ char*tkey="t",*nkey="n"; for(int i=1;i<ac;i++){ char*o=av[i]; 
#define V (i+1<ac?av[++i]:(die("%s needs a value",o),(char*)0))
  if(!strcmp(o,"-h"))host=V; else if(!strcmp(o,"-p"))port=atoi(V); else if(!strcmp(o,"-P"))path=V; else if(!strcmp(o,"-H"))hdrs[nh++]=V; else if(!strcmp(o,"-n"))N=atoi(V); else if(!strcmp(o,"-d"))dur=atof(V); else if(!strcmp(o,"-e"))expect=strtoull(V,0,10); else if(!strcmp(o,"-c"))conc=atoi(V); else if(!strcmp(o,"-t"))nthr=atoi(V);
  else if(!strcmp(o,"--ws"))ws=1; else if(!strcmp(o,"--ws-proto"))wsproto=V; else if(!strcmp(o,"--ws-send"))wssend[nws++]=V; else if(!strcmp(o,"--ws-pong"))wspong=1; else if(!strcmp(o,"--method"))method=V; else if(!strcmp(o,"--body"))body=V; else if(!strcmp(o,"--tkey"))tkey=V; else if(!strcmp(o,"--nkey"))nkey=V; else if(!strcmp(o,"--sample"))sample=atoi(V); else if(!strcmp(o,"--count-stamped"))cstamped=1; else if(!strcmp(o,"--messages"))only_messages=1; else if(!strcmp(o,"--live"))livename=V; else if(!strcmp(o,"--first"))firstn=atoll(V); else if(!strcmp(o,"--log-every"))logevery=atoi(V); else if(!strcmp(o,"--log")){ char*lf=V; if(!(logf=fopen(lf,"w")))die("cannot write %s",lf); }
  else if(!strcmp(o,"--pid")){ char*s=strdup(V); for(char*q=strtok(s,", ");q&&npid<64;q=strtok(0,", "))pids[npid++]=atoi(q);} else if(!strcmp(o,"--hold"))hold=atof(V); else if(!strcmp(o,"--ready"))readyf=V; else if(!strcmp(o,"--conn-timeout"))conn_to=atof(V); else if(!strcmp(o,"--idle"))idle=atof(V); else if(!strcmp(o,"--slow"))slowk=atoi(V); else if(!strcmp(o,"--rcvbuf"))rcvbuf=atoi(V); else if(!strcmp(o,"--src-ips"))srcips=atoi(V); else if(!strcmp(o,"--dump"))dump=1;
  else if(!strcmp(o,"--pub"))pubpath=V; else if(!strcmp(o,"--pub-port"))pubport=atoi(V); else if(!strcmp(o,"--pub-H"))pubh[npubh++]=V; else if(!strcmp(o,"--pub-count"))pubcount=atol(V); else if(!strcmp(o,"--pub-rate"))pubrate=atof(V); else if(!strcmp(o,"--pub-size"))pubsize=atoi(V); else if(!strcmp(o,"--pub-prefix"))pubpre=V; else if(!strcmp(o,"--pub-suffix"))pubsuf=V; else if(!strcmp(o,"--pub-escape"))pubesc=1; else if(!strcmp(o,"--pub-ws"))pubws=1; else if(!strcmp(o,"--pub-window"))pubwin=atol(V); else { fputs(USAGE,stderr); return 2; } }
  snprintf(tk1,sizeof tk1,"\"%s\":",tkey); snprintf(tk2,sizeof tk2,"\\\"%s\\\":",tkey); snprintf(nk1,sizeof nk1,"\"%s\":",nkey); snprintf(nk2,sizeof nk2,"\\\"%s\\\":",nkey);
  struct rlimit rl; getrlimit(RLIMIT_NOFILE,&rl); rl.rlim_cur=rl.rlim_max; setrlimit(RLIMIT_NOFILE,&rl); if((rlim_t)N+64>rl.rlim_cur)die("N too large for RLIMIT_NOFILE %lu",(unsigned long)rl.rlim_cur);
  addr.sin_family=AF_INET; addr.sin_port=htons(port); if(inet_pton(AF_INET,host,&addr.sin_addr)!=1){ if(!strcmp(host,"localhost"))addr.sin_addr.s_addr=htonl(0x7f000001); else die("host must be an IPv4 address"); }
  if(nthr>N)nthr=N; 
  if(nthr>64)nthr=64;
  long r0,p0,r1=0,p1=0,r2=0,p2=0; allmem(&r0,&p0); double cpu00=allcpu();
  int base=0; for(int i=0;i<nthr;i++){ wk*w=&W[i]; w->id=i; w->n=N/nthr+(i<N%nthr); w->c=calloc(w->n,sizeof(conn)); for(int j=0;j<w->n;j++){w->c[j].idx=base+j; w->c[j].lastn=firstn-1; w->c[j].slow=(base+j)<slowk;} base+=w->n; w->ep=epoll_create1(0); }
  double tc=nowm(); for(int i=0;i<nthr;i++)pthread_create(&W[i].th,0,worker,&W[i]); pthread_t pt; if(pubpath)pthread_create(&pt,0,pubthread,0);
  while(atomic_load(&nready)+atomic_load(&nfail)<N&&nowm()-tc<conn_to) usleep(2000);
  double connect_s=nowm()-tc; if(livename)while(atomic_load(&nlive)+atomic_load(&nfail)<N&&nowm()-tc<conn_to) usleep(2000);
  double live_s=nowm()-tc; int conn_ok=livename?atomic_load(&nlive):atomic_load(&nready), conn_fail=atomic_load(&nfail);
  if(!conn_ok){ fprintf(stderr,"no connection became ready\n"); printf("{\"error\":\"no connection\",\"failed\":%d}\n",conn_fail); return 1; }
  double cpu_conn=allcpu()-cpu00; usleep(ws?300000:100000); if(hold>0)usleep((useconds_t)(hold*1e6)); allmem(&r1,&p1);
  uint64_t pre=atomic_load(&total_events); for(int i=0;i<nthr;i++){} if(readyf){FILE*f=fopen(readyf,"w"); if(f){fprintf(f,"%d\n",conn_ok);fclose(f);}} fprintf(stderr,"READY %d connected in %.2f s (%d failed), %llu events before the window\n",conn_ok,connect_s,conn_fail,(unsigned long long)pre);
  struct rusage u0,u1; getrusage(RUSAGE_SELF,&u0); double c0=allcpu(), n0=allns(), w0=nowm(); t_open_ns=nowr(); atomic_store(&go,1); uint64_t want=expect; if(!want&&pubpath)want=pre+(uint64_t)(conn_ok-(slowk<conn_ok?slowk:conn_ok))*pubcount; uint64_t le=0; double lt=nowm(); double tend=w0+dur; int timed=1; long rm=0,pm=0;
  while(nowm()<tend){ usleep(2000); uint64_t e=atomic_load(&total_events); if(want&&e>=want){timed=0;break;} if(e!=le){le=e;lt=nowm();} else if(pubpath&&atomic_load(&pubdone)&&nowm()-lt>idle)break; if(npid&&((int)(nowm()*10)%5==0)){ static int last=-1; int z=(int)(nowm()*2); if(z!=last){last=z; long a,b; allmem(&a,&b); if(a>rm){rm=a;pm=b;} } } }
  double c1=allcpu(), n1=allns(), w1=nowm(); getrusage(RUSAGE_SELF,&u1); allmem(&r2,&p2); if(r2>rm){rm=r2;pm=p2;} atomic_store(&stop,1); for(int i=0;i<nthr;i++)pthread_join(W[i].th,0); if(pubpath){ shutdown(pub_fd,SHUT_RDWR); pthread_join(pt,0);} if(logf)fclose(logf);
  static uint64_t H[HN]; uint64_t ev=0,stp=0,by=0,fr=0,cm=0,ids=0,rt=0,en=0,pg=0,ga=0,du=0,cl=0,bs=0,ls=0,ln=0,lm=0,lmin=0,f=0,la=0; uint64_t ps[4096]={0}; uint64_t cmin=~0ull,cmax=0; for(int i=0;i<nthr;i++){wk*w=&W[i]; ev+=w->events;stp+=w->stamped;by+=w->bytes;fr+=w->frames;cm+=w->comments;ids+=w->ids;rt+=w->retries;en+=w->evnames;pg+=w->pings;ga+=w->gaps;du+=w->dups;cl+=w->closed;bs+=w->badstatus;ls+=w->latsum;ln+=w->latn; if(w->latmax>lm)lm=w->latmax; if(w->latn&&(!lmin||w->latmin<lmin))lmin=w->latmin; if(w->first_ns&&(!f||w->first_ns<f))f=w->first_ns; if(w->last_ns>la)la=w->last_ns; for(int q=0;q<HN;q++)H[q]+=w->hist[q]; for(int q=0;q<4096;q++)ps[q]+=w->persec[q]; for(int j=0;j<w->n;j++){ if(w->c[j].slow)continue; if(w->c[j].ev<cmin)cmin=w->c[j].ev; if(w->c[j].ev>cmax)cmax=w->c[j].ev;} }
  uint64_t inwin=ev-pre; double active=la>f?(la-f)/1e9:0; double wall=w1-w0; double pubspan=pub_end>pub_start?(pub_end-pub_start)/1e9:0; double span = (pubpath&&la>pub_start)?(la-pub_start)/1e9:active;
  double q[]={0.5,0.9,0.99,0.999}; double qv[4]={0}; if(ln)for(int i=0;i<4;i++){ uint64_t tgt=(uint64_t)(q[i]*ln); uint64_t acc=0; for(int b=0;b<HN;b++){acc+=H[b]; if(acc>tgt){qv[i]=hval(b)/1e6;break;}} }
  double ccpu=(u1.ru_utime.tv_sec-u0.ru_utime.tv_sec)+(u1.ru_stime.tv_sec-u0.ru_stime.tv_sec)+((u1.ru_utime.tv_usec-u0.ru_utime.tv_usec)+(u1.ru_stime.tv_usec-u0.ru_stime.tv_usec))/1e6; double peak=0; for(int i=0;i<4096;i++)if(ps[i]>peak)peak=ps[i];
  printf("{\"n\":%d,\"connected\":%d,\"failed\":%d,\"connect_s\":%.3f,\"live_s\":%.3f,\"events\":%llu,\"events_before_window\":%llu,\"stamped\":%llu,\"bytes\":%llu,\"wall_s\":%.3f,\"active_s\":%.3f,\"last_ns\":%llu,\"span_s\":%.3f,\"eps\":%.0f,\"eps_peak_1s\":%.0f,\"ended\":\"%s\",",N,conn_ok,conn_fail,connect_s,live_s,(unsigned long long)inwin,(unsigned long long)pre,(unsigned long long)stp,(unsigned long long)by,wall,active,(unsigned long long)la,span,span>0?inwin/span:0,peak,timed?(want?"incomplete":"time"):"complete");
  printf("\"per_conn_min\":%llu,\"per_conn_max\":%llu,\"gaps\":%llu,\"dups\":%llu,\"closed\":%llu,\"bad_status\":%llu,\"frames\":%llu,\"comments\":%llu,\"id_lines\":%llu,\"retry_lines\":%llu,\"event_lines\":%llu,\"pings\":%llu,\"last_id\":\"%s\",",(unsigned long long)(cmin==~0ull?0:cmin),(unsigned long long)cmax,(unsigned long long)ga,(unsigned long long)du,(unsigned long long)cl,(unsigned long long)bs,(unsigned long long)fr,(unsigned long long)cm,(unsigned long long)ids,(unsigned long long)rt,(unsigned long long)en,(unsigned long long)pg,W[0].lastid);
  printf("\"lat_ms\":{\"min\":%.3f,\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f,\"samples\":%llu},",lmin/1e6,ln?ls/1e6/ln:0,qv[0],qv[1],qv[2],qv[3],lm/1e6,(unsigned long long)ln);
  if(pubpath)printf("\"published\":%ld,\"pub_errors\":%ld,\"pub_span_s\":%.3f,\"pub_per_s\":%.1f,\"pub_lag_max_s\":%.3f,",atomic_load(&published),atomic_load(&pub_errors),pubspan,pubspan>0?atomic_load(&published)/pubspan:0,publag_max);
  if(npid){ double sc=c1-c0; double sn=n1-n0; printf("\"server_cpu_s\":%.3f,\"server_cpu_ns_s\":%.4f,\"server_cpu_s_per_million_events\":%.3f,\"server_cpu_connect_s\":%.3f,\"rss_kib_before\":%ld,\"rss_kib_idle_connected\":%ld,\"rss_kib_max\":%ld,\"pss_kib_before\":%ld,\"pss_kib_idle_connected\":%ld,\"pss_kib_max\":%ld,\"rss_bytes_per_idle_conn\":%.0f,\"pss_bytes_per_idle_conn\":%.0f,",sc,sn,inwin?sc*1e6/inwin:0,cpu_conn,r0,r1,rm,p0,p1,pm,(r1-r0)*1024.0/conn_ok,(p1-p0)*1024.0/conn_ok); }
  printf("\"client_cpu_s\":%.3f,\"client_cpu_s_per_million_events\":%.3f}\n",ccpu,inwin?ccpu*1e6/inwin:0); (void)g_now; return 0; }
